//! Watches a coordinator: each map that it pushes, and whether one is reached.

use std::sync::Arc;

use kv_common::id::Address;
use kv_common::message::hello::Hello;
use kv_common::message::registry::{ClientToCoordinator, CoordinatorToClient};
use kv_common::view::ClusterMap;
use kvclient_core::Rotation;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::exchange::{Callee, dial};

/// What the watch has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    /// The newest map.
    pub(crate) map: Option<Arc<ClusterMap>>,
    /// Whether a coordinator is reached now.
    pub(crate) reached: bool,
    /// Why the last coordinator that was tried does not serve; none while one is reached.
    pub(crate) trouble: Option<String>,
    /// Whether every coordinator was tried in vain since one was reached.
    pub(crate) all_away: bool,
}

/// A watch that goes on until the value goes.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) seen: watch::Receiver<Watched>,
    _task: AbortOnDropHandle<()>,
}

impl Watch {
    /// Begins to watch; must be called within a runtime.
    pub(crate) fn start(coordinators: Vec<Address>, hello: Hello) -> Self {
        let (sender, seen) = watch::channel(Watched {
            all_away: coordinators.is_empty(),
            ..Watched::default()
        });
        let task = tokio::spawn(watch(coordinators, hello, sender));
        Self {
            seen,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

async fn watch(coordinators: Vec<Address>, hello: Hello, seen: watch::Sender<Watched>) {
    let count = coordinators.len();
    let mut rotation = Rotation::new(coordinators);
    let mut failed = 0;
    while let Some(address) = rotation.address().cloned() {
        let (served, trouble) = watch_one(&address, &hello, &seen).await;
        if served {
            rotation.served();
            failed = 0;
        }
        failed += 1;
        let pause = rotation.failed();
        seen.send_modify(|watched| {
            watched.reached = false;
            watched.trouble = Some(trouble);
            watched.all_away = failed >= count;
        });
        tokio::time::sleep(pause).await;
    }
}

/// Watches until the coordinator is gone. Returns whether it served, and what went wrong.
async fn watch_one(
    address: &Address,
    hello: &Hello,
    seen: &watch::Sender<Watched>,
) -> (bool, String) {
    let mut connection = match dial(address, hello, Callee::Coordinator).await {
        Ok(connection) => connection,
        Err(cause) => return (false, format!("coordinator: {cause}")),
    };
    if let Err(cause) = connection.send(&ClientToCoordinator::Watch).await {
        return (false, format!("coordinator {address}: {cause}"));
    }
    let mut served = false;
    loop {
        match connection.receive().await {
            Ok(Some(CoordinatorToClient::Map(map))) => {
                served = true;
                seen.send_modify(|watched| {
                    watched.map = Some(Arc::new(map));
                    watched.reached = true;
                    watched.trouble = None;
                    watched.all_away = false;
                });
            }
            Ok(Some(other)) => {
                let why = format!("coordinator {address} answered what was not asked: {other:?}");
                return (served, why);
            }
            Ok(None) => {
                return (
                    served,
                    format!("coordinator {address} closed the connection"),
                );
            }
            Err(cause) => return (served, format!("coordinator {address}: {cause}")),
        }
    }
}
