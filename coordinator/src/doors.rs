//! Where the coordinator listens. Its doors stay open across a restart where a service manager can hold them.

use std::net::TcpListener as StdTcpListener;

use kv_common::id::Address;
use kv_daemon::passed_sockets::PassedSockets;
use kv_daemon::service_manager::ServiceManager;
use kv_net::listen;
use tokio::net::{TcpListener, lookup_host};

use crate::cli::Arguments;
use crate::start::CoordinatorError;

/// What the service manager calls the doors: by the settings that say where they are.
const CONTROL: &str = "listen";
const SENTINEL: &str = "sentinel-listen";
const HTTP: &str = "http-listen";

/// The sockets, listening.
pub(crate) struct Doors {
    /// For nodes and clients.
    pub(crate) control: TcpListener,
    /// For Redis clients that ask a Sentinel.
    pub(crate) sentinel: Option<TcpListener>,
    /// For browsers and Prometheus.
    pub(crate) http: Option<StdTcpListener>,
}

impl Doors {
    /// Takes what was passed and listens where nothing was. A port that is taken is said before anything is
    /// touched; who calls early waits in its queue.
    pub(crate) async fn open(
        arguments: &Arguments,
        mut passed: PassedSockets,
        manager: &ServiceManager,
    ) -> Result<Self, CoordinatorError> {
        let (sentinel, http) = (&arguments.sentinel_listen, &arguments.http_listen);
        let control_passed = take(&mut passed, Some(&arguments.listen)).await;
        let sentinel_passed = take(&mut passed, sentinel.as_ref()).await;
        let http_passed = take(&mut passed, http.as_ref()).await;
        // Before anything is bound: a former address may be part of a new one.
        passed.give_up(&[CONTROL, SENTINEL, HTTP], manager);
        let control = door(CONTROL, &arguments.listen, control_passed, manager).await?;
        let sentinel = match sentinel {
            Some(address) => Some(door(SENTINEL, address, sentinel_passed, manager).await?),
            None => None,
        };
        let http = match http {
            Some(address) => {
                let listener = door(HTTP, address, http_passed, manager).await?;
                Some(listener.into_std()?)
            }
            None => None,
        };
        Ok(Self {
            control,
            sentinel,
            http,
        })
    }
}

/// The socket that was passed for `address`. A name that leads nowhere is told by who then tries to listen there.
async fn take(passed: &mut PassedSockets, address: Option<&Address>) -> Option<StdTcpListener> {
    let found: Vec<_> = lookup_host(&address?.0).await.ok()?.collect();
    passed.take(&found)
}

async fn door(
    name: &str,
    address: &Address,
    passed: Option<StdTcpListener>,
    manager: &ServiceManager,
) -> Result<TcpListener, CoordinatorError> {
    if let Some(listener) = passed {
        listener.set_nonblocking(true)?;
        tracing::info!(%address, "who called since the last run is answered now");
        return Ok(TcpListener::from_std(listener)?);
    }
    let listener = listen(address).await?;
    manager.hold(name, &listener);
    Ok(listener)
}
