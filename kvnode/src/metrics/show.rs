//! The start of the HTTP thread, and what it shares with the others.

use std::path::Path;
use std::sync::Arc;

use kv_common::id::Address;
use kv_common::message::control::NodeReport;
use kv_common::view::ClusterMap;
use kv_http::{HttpError, HttpServer};
use tokio::sync::watch;

use crate::pulse::Pulse;

use super::Counters;
use super::exposition::ObservedNode;

/// What the serving thread leaves for the HTTP thread, and that thread.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) counters: Arc<Counters>,
    /// For the newest map.
    pub(crate) maps: watch::Sender<Option<ClusterMap>>,
    /// None: nothing is to be shown.
    pub(crate) http: Option<HttpServer>,
}

/// Shows the node at `address`, if there is one.
///
/// # Errors
/// When it cannot listen there.
pub(crate) fn show(
    address: Option<&Address>,
    data_dir: &Path,
    pulse: &Arc<Pulse>,
    reports: &watch::Receiver<NodeReport>,
) -> Result<Shown, HttpError> {
    let counters = Arc::new(Counters::default());
    let (maps, newest_map) = watch::channel(None);
    let observed = ObservedNode {
        counters: Arc::clone(&counters),
        pulse: Arc::clone(pulse),
        reports: reports.clone(),
        maps: newest_map,
        data_dir: data_dir.to_owned(),
    };
    let http = match address {
        Some(address) => Some(HttpServer::spawn(
            address,
            kv_http::routes(Arc::new(observed)),
        )?),
        None => None,
    };
    if let Some(http) = &http {
        tracing::info!(address = %http.address(), "showing metrics over HTTP");
    }
    Ok(Shown {
        counters,
        maps,
        http,
    })
}
