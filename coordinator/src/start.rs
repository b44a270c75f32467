//! The order of a start and of a stop.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use coordinator_core::cluster_state::ClusterState;
use coordinator_core::coordinator::{Coordinator, Settings};
use kv_common::id::ClusterId;
use kv_common::timing::Timing;
use kv_daemon::config_file::InForce;
use kv_daemon::logging::LogLevel;
use kv_daemon::passed_sockets::PassedSockets;
use kv_daemon::password_file::PasswordFileError;
use kv_daemon::service_manager::ServiceManager;
use kv_daemon::{clock, raise_open_files};
use kv_http::{HttpError, HttpServer};
use kv_net::ListenError;
use kv_store::{DataDir, DataDirError, DataDirOwner};
use rand::TryRng;
use rand::rngs::{SysError, SysRng};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::cli::Arguments;
use crate::connections::{self, Door};
use crate::doors::Doors;
use crate::page;
use crate::registry::{ARRIVALS, Ended, Registry};
use crate::sentinel_connection::{self, SentinelDoor};
use crate::service::{SentinelPassword, Service};
use crate::store_thread::StoreThread;
use crate::stored::{self, StoredError};

const OWNER: DataDirOwner = DataDirOwner {
    program: "coordinator",
    version: 1,
    may_be_there: &["coordinator.toml", "config.toml"],
};
const STORE: &str = "state";
/// Where the programs that this store grew from looked for the primary.
const ADDRESS_FILE: &str = "primaryserveraddress.txt";

/// Why the coordinator ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CoordinatorError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It cannot show anything over HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Nor what it holds.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// Redis clients could not be asked for the password.
    #[error(transparent)]
    PasswordFile(#[from] PasswordFileError),
    /// The data directory is of another cluster.
    #[error(
        "--cluster-id names cluster {asked}, and the data directory holds cluster {found}; it is for an \
         empty directory only"
    )]
    OtherCluster {
        /// What was asked for.
        asked: ClusterId,
        /// What is there.
        found: ClusterId,
    },
    /// The system gives no randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] SysError),
    /// The system gives no thread, signal or socket.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// Runs a coordinator until it is asked to stop.
///
/// # Errors
/// When it cannot start, or cannot make its decisions durable.
pub(crate) fn run(
    arguments: &Arguments,
    settings: Settings,
    in_force: InForce,
    log_level: LogLevel,
) -> Result<(), CoordinatorError> {
    // Before the runtime, which may have threads.
    let passed = PassedSockets::of_environment();
    let manager = ServiceManager::of_environment();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    raise_open_files();
    let sentinel_password = Rc::new(RefCell::new(arguments.sentinel_password()?));
    let outside = Outside {
        doors: runtime.block_on(Doors::open(arguments, passed, &manager))?,
        sentinel_password: Rc::clone(&sentinel_password),
        arguments,
        timing: Timing::from_ms(settings.heartbeat_interval_ms),
    };
    let (_data_dir, mut registry, cluster) = open(arguments, settings)?;
    let ended = runtime.block_on(LocalSet::new().run_until(async {
        let mut service =
            Service::start(manager, log_level, in_force, settings, sentinel_password)?;
        let ended = serve(&mut registry, cluster, outside, &mut service).await;
        service.manager.stopping();
        ended
    }));
    registry.stop();
    match ended? {
        Ended::Stopped => {
            tracing::info!("stopped");
            Ok(())
        }
        Ended::StoreFailed(error) => Err(error.into()),
    }
}

fn open(
    arguments: &Arguments,
    settings: Settings,
) -> Result<(DataDir, Registry, ClusterId), CoordinatorError> {
    let dir = DataDir::open(&arguments.data_dir, &OWNER)?;
    let (store, remembered) = stored::open(&dir.path().join(STORE))?;
    let state = match (remembered.state, arguments.cluster_id) {
        (Some(state), Some(asked)) if state.cluster() != asked => {
            let found = state.cluster();
            return Err(CoordinatorError::OtherCluster { asked, found });
        }
        (Some(state), _) => state,
        (None, Some(cluster)) => ClusterState::with_past_missing(cluster),
        (None, None) => ClusterState::new(ClusterId(SysRng.try_next_u64()?)),
    };
    let cluster = state.cluster();
    let store = StoreThread::spawn(store, dir.path().join(ADDRESS_FILE))?;
    let core = Coordinator::start(clock::now(), settings, state);
    let registry = Registry::new(core, store, remembered.events);
    Ok((dir, registry, cluster))
}

/// What those who call come to, and what they are held to.
struct Outside<'a> {
    doors: Doors,
    sentinel_password: SentinelPassword,
    arguments: &'a Arguments,
    timing: Timing,
}

async fn serve(
    registry: &mut Registry,
    cluster: ClusterId,
    outside: Outside<'_>,
    service: &mut Service,
) -> Result<Ended, CoordinatorError> {
    if let Err(ended) = registry.begin().await {
        return Ok(ended);
    }
    let doors = outside.doors;
    tracing::info!(address = %doors.control.local_addr()?, %cluster, "listening");
    let (arrivals, arrived) = mpsc::channel(ARRIVALS);
    let sentinel = match doors.sentinel {
        Some(sentinel) => {
            let address = sentinel.local_addr()?;
            tracing::info!(%address, "serving Redis clients as a Sentinel");
            let settings = coordinator_sentinel::Settings {
                master_name: outside.arguments.sentinel_name.clone(),
                port: address.port(),
                others: outside.arguments.sentinel_announce.clone(),
                cluster,
                timing: outside.timing,
            };
            let door = SentinelDoor::new(
                settings,
                outside.sentinel_password,
                arrivals.clone(),
                registry.maps(),
            );
            let listening = sentinel_connection::listen(Rc::new(door), sentinel);
            Some(tokio::task::spawn_local(listening))
        }
        None => None,
    };
    let door = Rc::new(Door::new(
        cluster,
        arrivals,
        registry.maps(),
        registry.counters(),
    ));
    let listening = tokio::task::spawn_local(connections::listen(door, doors.control));
    let http = match doors.http {
        Some(listener) => Some(show(listener, registry)?),
        None => None,
    };
    tracing::info!("ready");
    service.manager.ready();
    let ended = registry.run(arrived, service).await;
    tracing::info!("stopping");
    listening.abort();
    if let Some(http) = http {
        http.stop();
    }
    if let Some(sentinel) = sentinel {
        sentinel.abort();
    }
    Ok(ended)
}

fn show(listener: TcpListener, registry: &Registry) -> Result<HttpServer, HttpError> {
    let observed = registry.observed();
    let page = page::routes(observed.snapshots.clone());
    let router = kv_http::routes(Arc::new(observed)).merge(page);
    let server = HttpServer::spawn_on(listener, router)?;
    tracing::info!(address = %server.address(), "showing the cluster over HTTP");
    Ok(server)
}
