//! The order of a start and of a stop.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use kv_common::id::{Address, NodeId, ShardId};
use kv_common::message::control::{DataSummary, FsyncMode, NodeReport, Registration};
use kv_common::view::PrimarySeat;
use kv_daemon::config_file::InForce;
use kv_daemon::logging::LogLevel;
use kv_daemon::{clock, open_files_max, raise_open_files};
use kv_http::HttpServer;
use kv_net::{ListenError, listen};
use kv_resp::Password;
use kvnode_core::input::{Identity, Start};
use kvnode_core::replica::Replica;
use kvnode_storage::{
    DataDir, DataSet, Meta, MetaOpening, MetaRecord, MetaThread, Past, StorageOptions,
    open_data_set,
};
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::net::TcpListener;
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, watch};

use crate::cli::Arguments;
use crate::coordinator_link::{CoordinatorLink, LinkOptions, standing};
use crate::data_threads::DataThreads;
use crate::events::{Event, Events, Mailbox, mailbox};
use crate::metrics::show;
use crate::node_error::NodeError;
use crate::pulse::Pulse;
use crate::service::Service;
use crate::serving::{ConnectionLimits, Ended, Listeners, RedisSetup, Remains, Serving, Setup};

/// Messages to the coordinator that wait for its link. The core has a few under way.
const OUTGOING_MESSAGES: usize = 64;

/// What the start found on the disk.
struct Opened {
    dir: Arc<DataDir>,
    meta: Meta,
    data_set: DataSet,
    redis_password: Option<Password>,
}

/// Runs a node until it is asked to stop.
///
/// # Errors
/// When it cannot start, when the coordinator will never take it, or when a stop was not clean.
pub(crate) fn run(
    arguments: &Arguments,
    in_force: InForce,
    log_level: LogLevel,
) -> Result<(), NodeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    raise_open_files();
    check_db_txt_folder(arguments)?;
    // A port that is taken is said at once, and not after the data was read. Nobody connects to a
    // node that is not ready yet: the port is given back in between.
    let probe = runtime.block_on(open_doors(arguments))?;
    advertised(arguments, &Bound::of(&probe)?)?;
    drop(probe);
    // Who is asked to stop while the data is read stops when it is, and not in the middle of it.
    let mut service = runtime.block_on(async { Service::start(log_level, in_force) })?;
    service.manager.status("loading the data".to_owned());
    let opened = open(arguments)?;
    serve(runtime, arguments, opened, service)
}

/// The data directory will be made, a folder elsewhere not: its name may well be a slip.
fn check_db_txt_folder(arguments: &Arguments) -> Result<(), NodeError> {
    let Some(path) = &arguments.db_txt else {
        return Ok(());
    };
    let folder = path.parent().unwrap_or(path);
    let here = folder.as_os_str().is_empty();
    if here || folder == arguments.data_dir || folder.is_dir() {
        return Ok(());
    }
    let path = path.clone();
    Err(NodeError::NoDbTxtFolder { path })
}

fn open(arguments: &Arguments) -> Result<Opened, NodeError> {
    let started = Instant::now();
    tracing::debug!("loading the data");
    let redis_password = arguments.redis_password()?;
    let dir = DataDir::open(&arguments.data_dir)?;
    let (mut meta, opening) = Meta::open(&dir, NodeId(SysRng.try_next_u64()?))?;
    let fsync = FsyncMode::from(arguments.fsync);
    let tail_certain = note_fsync(&mut meta, &opening, fsync)?;
    let options = storage_options(fsync);
    // Once it has adopted a view, a node has data of its own.
    let db_txt = arguments.db_txt();
    let past = match &meta.record().promises.view {
        Some(_) => Past::Member,
        None => Past::New {
            import_from: Some(&db_txt),
        },
    };
    let data_set = open_data_set(&dir, &options, tail_certain, past)?;
    tracing::info!(
        node = %meta.record().node,
        run = %meta.record().incarnation,
        keys = data_set.recovered.state.keys(),
        position = %data_set.recovered.history.last(),
        elapsed_ms = started.elapsed().as_millis(),
        "the data is loaded"
    );
    Ok(Opened {
        dir: Arc::new(dir),
        meta,
        data_set,
        redis_password,
    })
}

/// Notes when an entry counts as held in this run, and says whether the log must still have
/// everything that was ever acknowledged. While that is uncertain, the note stays as it is: this run
/// does not make up for what an earlier one may have lost.
fn note_fsync(meta: &mut Meta, opening: &MetaOpening, fsync: FsyncMode) -> Result<bool, NodeError> {
    let tail_certain = opening.clean_stop || opening.fsync_before != Some(FsyncMode::EverySec);
    let noted = if tail_certain {
        fsync
    } else {
        FsyncMode::EverySec
    };
    if meta.record().fsync != Some(noted) {
        meta.store(MetaRecord {
            fsync: Some(noted),
            ..meta.record().clone()
        })?;
    }
    Ok(tail_certain)
}

fn storage_options(fsync: FsyncMode) -> StorageOptions {
    StorageOptions {
        fsync,
        ..StorageOptions::default()
    }
}

/// Everything that is to be stopped again.
struct Running {
    serving: Rc<Serving>,
    link: CoordinatorLink,
    http: Option<HttpServer>,
    events: Events,
}

fn serve(
    runtime: LocalRuntime,
    arguments: &Arguments,
    opened: Opened,
    mut service: Service,
) -> Result<(), NodeError> {
    let listeners = runtime.block_on(open_doors(arguments))?;
    let bound = Bound::of(&listeners)?;
    let mut running = start_threads(arguments, opened, &bound)?;
    let ended = runtime.block_on(async {
        let Running {
            serving, events, ..
        } = &mut running;
        service.manager.ready();
        serving.run(listeners, events, &mut service).await
    });
    if matches!(ended, Ended::DiskWorksAgain) {
        tracing::info!("the disk works again; starting anew from what it holds");
        return Err(NodeError::StartAnew(start_anew()));
    }
    service.manager.stopping();
    service.manager.status("writing everything down".to_owned());
    // Every connection closes with its task. A name that is looked up, or a disk that is tried, is not waited for: the
    // data is to be written down first.
    runtime.shutdown_background();
    let stopped = stop(running, arguments.db_txt());
    match ended {
        Ended::Hopeless { why } => Err(NodeError::Hopeless { why }),
        Ended::Stopped | Ended::DiskWorksAgain => stopped,
    }
}

/// Puts a new run of this program in the place of this one, as a kill and a start would, and returns
/// only when the system refuses. The process id stays the same, for who supervises it. Threads and
/// open files end with the old run, without another word to the disk that failed them.
fn start_anew() -> io::Error {
    let program = match env::current_exe() {
        // Where it was replaced by another version or removed, the link still leads to the old one.
        Ok(program) if program.exists() => program,
        Ok(_) | Err(_) => PathBuf::from("/proc/self/exe"),
    };
    let mut words = env::args_os();
    let name = words.next().unwrap_or_else(|| "kvnode".into());
    Command::new(program).arg0(name).args(words).exec()
}

/// Where the node really listens.
struct Bound {
    main: SocketAddr,
    redis: Option<SocketAddr>,
}

impl Bound {
    fn of(listeners: &Listeners) -> io::Result<Self> {
        let redis = listeners.redis.as_ref();
        Ok(Self {
            main: listeners.main.local_addr()?,
            redis: redis.map(TcpListener::local_addr).transpose()?,
        })
    }

    fn log(&self) {
        tracing::info!(address = %self.main, "listening");
        if let Some(redis) = self.redis {
            tracing::info!(address = %redis, "serving Redis clients");
        }
    }
}

async fn open_doors(arguments: &Arguments) -> Result<Listeners, ListenError> {
    let main = listen(&arguments.listen).await?;
    let redis = match &arguments.redis_listen {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    Ok(Listeners { main, redis })
}

fn start_threads(
    arguments: &Arguments,
    opened: Opened,
    bound: &Bound,
) -> Result<Running, NodeError> {
    let addresses = advertised(arguments, bound)?;
    bound.log();
    let fsync = FsyncMode::from(arguments.fsync);
    let (dir, meta, data_set) = (opened.dir, opened.meta, opened.data_set);
    let record = meta.record().clone();
    let identity = identity(&record, fsync);
    let storage_options = storage_options(fsync);
    let (mailbox, events) = mailbox();
    let (log, checkpoint) = (data_set.log, data_set.checkpoint);
    let data = DataThreads::spawn(log, checkpoint, &storage_options, &mailbox)?;
    let meta = spawn_meta(meta, &mailbox)?;
    let now = clock::now();
    let unfit = data_set.recovered.unfit.is_some();
    let start = Start {
        identity,
        promises: record.promises,
        recovered: data_set.recovered,
    };
    let replica = Replica::start(now, start);
    let pulse = Arc::new(Pulse::new(now.monotonic, record.cluster));
    let (reports, newest_report) = watch::channel::<NodeReport>(replica.report(now));
    let http_listen = arguments.http_listen.as_ref();
    let shown = show(http_listen, dir.path(), &pulse, &newest_report)?;
    let (outgoing, to_send) = mpsc::channel(OUTGOING_MESSAGES);
    let imported = data_set.imported;
    let report = newest_report.borrow().clone();
    let registration = registration(arguments, identity, addresses, &report, imported);
    let link = CoordinatorLink::spawn(LinkOptions {
        coordinators: arguments.coordinator.clone(),
        registration,
        imported,
        reports: newest_report,
        outgoing: to_send,
        pulse: Arc::clone(&pulse),
        mailbox: mailbox.clone(),
    })?;
    let serving = Serving::new(Setup {
        replica,
        redis: redis_setup(arguments, opened.redis_password, bound),
        connection_limits: ConnectionLimits::of(open_files_max()),
        identity,
        unfit,
        dir,
        storage_options,
        data,
        meta,
        db_txt: arguments.db_txt(),
        dump_interval: arguments.dump_interval,
        outgoing,
        reports,
        maps: shown.maps,
        counters: shown.counters,
        pulse,
        mailbox,
    });
    tracing::info!("ready");
    Ok(Running {
        serving,
        link,
        http: shown.http,
        events,
    })
}

fn redis_setup(arguments: &Arguments, password: Option<Password>, bound: &Bound) -> RedisSetup {
    RedisSetup {
        port: bound.redis.map_or(0, |redis| redis.port()),
        password,
        debug_access: arguments.redis_enable_debug_command.into(),
        coordinators: arguments.coordinator.clone(),
    }
}

fn identity(record: &MetaRecord, fsync: FsyncMode) -> Identity {
    Identity {
        shard: ShardId::default(),
        seat: PrimarySeat {
            node: record.node,
            incarnation: record.incarnation,
        },
        fsync,
    }
}

fn spawn_meta(meta: Meta, mailbox: &Mailbox) -> io::Result<MetaThread> {
    let events = mailbox.clone();
    MetaThread::spawn(meta, move |event| events.post(Event::Meta(event)))
}

/// Where others reach the node.
struct Advertised {
    main: Address,
    redis: Option<Address>,
}

fn advertised(arguments: &Arguments, bound: &Bound) -> Result<Advertised, NodeError> {
    let main = reachable(
        arguments.advertise.as_ref(),
        bound.main,
        ["listen", "advertise"],
    )?;
    let flags = ["redis-listen", "redis-advertise"];
    let redis = bound
        .redis
        .map(|redis| reachable(arguments.redis_advertise.as_ref(), redis, flags))
        .transpose()?;
    Ok(Advertised { main, redis })
}

fn reachable(
    said: Option<&Address>,
    bound: SocketAddr,
    [listen, advertise]: [&'static str; 2],
) -> Result<Address, NodeError> {
    match said {
        Some(address) => Ok(address.clone()),
        None if bound.ip().is_unspecified() => Err(NodeError::NoAdvertisedAddress {
            listen,
            advertise,
            address: bound,
        }),
        None => Ok(Address(bound.to_string())),
    }
}

fn registration(
    arguments: &Arguments,
    identity: Identity,
    addresses: Advertised,
    report: &NodeReport,
    imported: Option<DataSummary>,
) -> Registration {
    Registration {
        node: identity.seat.node,
        incarnation: identity.seat.incarnation,
        name: arguments.name(&addresses.main),
        address: addresses.main,
        redis_address: addresses.redis,
        fsync: identity.fsync,
        standing: standing(report, imported),
    }
}

/// Ends everything in the order in which nothing is lost: who may still ask for work first, then the
/// threads that do it, and the note that all was done as the last thing.
fn stop(running: Running, db_txt: PathBuf) -> Result<(), NodeError> {
    tracing::info!("stopping");
    let Running {
        serving,
        link,
        http,
        events,
    } = running;
    link.stop();
    if let Some(http) = http {
        http.stop();
    }
    // Who still has something to tell must not wait for somebody to hear it.
    drop(events);
    let serving = Rc::into_inner(serving).ok_or_else(|| unclean("a task did not end"))?;
    let Remains {
        data,
        meta,
        fetch,
        may_dump,
        disk_works,
        tail_certain,
    } = serving.into_remains();
    if let Some(fetch) = fetch {
        fetch.stop();
    }
    let data_kept = match data {
        Some(data) => stop_data(data, may_dump.then_some(db_txt))?,
        None => false,
    };
    let mut meta = meta.stop().map_err(unclean)?;
    if !disk_works || !data_kept {
        return Err(unclean("the disk failed; what was acknowledged is kept"));
    }
    // A tail that may be missing is made up for by a primary, not by a stop in order.
    meta.store(MetaRecord {
        clean_stop: tail_certain,
        ..meta.record().clone()
    })?;
    tracing::info!("stopped");
    Ok(())
}

/// Ends the threads on the data. Says whether everything is on the disk.
fn stop_data(data: DataThreads, dump_to: Option<PathBuf>) -> Result<bool, NodeError> {
    let log = data.log();
    match data.stop(dump_to).map_err(unclean)? {
        Some(Ok(summary)) => {
            let path = summary.path;
            tracing::info!(path, keys = summary.keys, position = %summary.at, "wrote db.txt");
        }
        // The data itself is kept; the text is for people.
        Some(Err(error)) => tracing::warn!(%error, "db.txt is not written"),
        None => {}
    }
    Ok(!log.pulse().failed())
}

fn unclean(why: impl ToString) -> NodeError {
    let why = why.to_string();
    NodeError::UncleanStop { why }
}
