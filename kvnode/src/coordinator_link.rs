//! The connection to the coordinator, on a thread of its own: whatever the serving thread does, the
//! heartbeats go out, and say how long ago the serving thread made its last turn.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kv_common::id::{Address, ClusterId};
use kv_common::message::control::{
    CoordinatorToNode, DataSummary, NodeReport, NodeToCoordinator, Registration,
    RegistrationRefusal, Standing,
};
use kv_common::message::hello::{Caller, Hello, HelloRefusal, PROTOCOL_VERSION};
use kv_net::{Connection, DialError, FrameReceiver, FrameSender, Limits, LinkError, dial};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::events::{CoordinatorEvent, Event, Mailbox};
use crate::pulse::Pulse;
use kv_daemon::clock;

/// A coordinator that comes back is found within this time.
const BACK_OFF_MAX: Duration = Duration::from_millis(250);
const BACK_OFF_MIN: Duration = Duration::from_millis(10);
/// How long a coordinator may take to answer a registration.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(5);

/// What the link needs.
pub(crate) struct LinkOptions {
    /// Coordinators, tried in turn.
    pub(crate) coordinators: Vec<Address>,
    /// Who registers; the standing is filled in for each registration.
    pub(crate) registration: Registration,
    /// What was imported, as long as nothing was written over it.
    pub(crate) imported: Option<DataSummary>,
    /// The newest report.
    pub(crate) reports: watch::Receiver<NodeReport>,
    /// What goes out at once.
    pub(crate) outgoing: mpsc::Receiver<NodeToCoordinator>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) mailbox: Mailbox,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct CoordinatorLink {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl CoordinatorLink {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn spawn(options: LinkOptions) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let mut link = Link {
            options,
            said: BTreeSet::new(),
        };
        let thread = thread::Builder::new()
            .name("coordinator".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        () = link.run() => {}
                    }
                });
            })?;
        Ok(Self { stop, thread })
    }

    /// Closes the connection and ends the thread.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread of the coordinator link ended by a panic");
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum LinkDown {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the coordinator at {address} is of cluster {theirs}; this node belongs to {ours}")]
    WrongCluster {
        address: Address,
        ours: ClusterId,
        theirs: ClusterId,
    },
    #[error("the coordinator at {address} refused this node: {why}")]
    Refused {
        address: Address,
        why: RegistrationRefusal,
    },
    #[error("lost the coordinator at {address}: {cause}")]
    Broke { address: Address, cause: LinkError },
    #[error("the coordinator at {address} closed the connection")]
    Closed { address: Address },
    #[error("the coordinator at {address} did not answer the registration")]
    Silent { address: Address },
    #[error("the node stops")]
    Stopping,
}

/// What an operator is told once, until the coordinator is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Complaint {
    Away,
    WrongCluster,
    Refused,
}

impl LinkDown {
    fn complaint(&self) -> Complaint {
        match self {
            Self::WrongCluster { .. }
            | Self::Dial(DialError::Refused {
                why: HelloRefusal::Cluster { .. },
                ..
            }) => Complaint::WrongCluster,
            Self::Refused { .. } => Complaint::Refused,
            Self::Dial(_)
            | Self::Broke { .. }
            | Self::Closed { .. }
            | Self::Silent { .. }
            | Self::Stopping => Complaint::Away,
        }
    }

    /// Why no later attempt can succeed either, if so.
    fn is_hopeless(&self) -> bool {
        match self {
            Self::Refused { why, .. } => match why {
                RegistrationRefusal::OldIncarnation { .. }
                | RegistrationRefusal::Fsync { .. }
                | RegistrationRefusal::Forgotten => true,
                RegistrationRefusal::AddressTaken { .. }
                | RegistrationRefusal::NameTaken { .. }
                | RegistrationRefusal::TooManyNodes { .. } => false,
            },
            Self::Dial(_)
            | Self::WrongCluster { .. }
            | Self::Broke { .. }
            | Self::Closed { .. }
            | Self::Silent { .. }
            | Self::Stopping => false,
        }
    }
}

struct Link {
    options: LinkOptions,
    said: BTreeSet<Complaint>,
}

impl Link {
    async fn run(&mut self) {
        let mut back_off = BACK_OFF_MIN;
        let coordinators = self.options.coordinators.clone();
        for address in coordinators.iter().cycle() {
            let was_up = match self.register(address).await {
                Ok((receiver, sender)) => {
                    self.options.pulse.set_coordinator_up(true);
                    let down = self.serve(address, receiver, sender).await;
                    self.options.pulse.set_coordinator_up(false);
                    if !self.post(CoordinatorEvent::Lost).await {
                        return;
                    }
                    self.complain(&down);
                    true
                }
                Err(down) => {
                    if down.is_hopeless() {
                        let why = down.to_string();
                        self.post(CoordinatorEvent::Hopeless { why }).await;
                        return;
                    }
                    self.complain(&down);
                    false
                }
            };
            back_off = if was_up { BACK_OFF_MIN } else { back_off * 2 };
            back_off = back_off.min(BACK_OFF_MAX);
            sleep(back_off).await;
        }
    }

    fn complain(&mut self, down: &LinkDown) {
        if self.said.insert(down.complaint()) {
            tracing::warn!("{down}; trying again until it works");
        }
    }

    async fn register(
        &mut self,
        address: &Address,
    ) -> Result<(FrameReceiver, FrameSender), LinkDown> {
        let (mut connection, accepted) = dial(address, &self.hello(), Limits::control()).await?;
        if let Some(theirs) = accepted.cluster {
            self.check_cluster(address, theirs)?;
        }
        let registration = NodeToCoordinator::Register(self.registration());
        connection
            .send(&registration)
            .await
            .map_err(|cause| broke(address, cause))?;
        match answer(address, &mut connection).await? {
            CoordinatorToNode::Registered {
                cluster,
                heartbeat_interval_ms,
            } => {
                self.check_cluster(address, cluster)?;
                self.registered(address, cluster, heartbeat_interval_ms)
                    .await?;
                Ok(connection.split())
            }
            CoordinatorToNode::Refused(why) => Err(LinkDown::Refused {
                address: address.clone(),
                why,
            }),
            CoordinatorToNode::Map(_)
            | CoordinatorToNode::Seal { .. }
            | CoordinatorToNode::Handover { .. } => {
                let cause = "it did not answer the registration first".to_owned();
                Err(broke(address, LinkError::Unreadable { cause }))
            }
        }
    }

    async fn registered(
        &mut self,
        address: &Address,
        cluster: ClusterId,
        heartbeat_interval_ms: u32,
    ) -> Result<(), LinkDown> {
        if let Err(ours) = self.options.pulse.join(cluster) {
            return Err(LinkDown::WrongCluster {
                address: address.clone(),
                ours,
                theirs: cluster,
            });
        }
        self.options
            .pulse
            .set_heartbeat_interval_ms(heartbeat_interval_ms);
        self.said.clear();
        tracing::info!("registered with the coordinator at {address}, cluster {cluster}");
        // What was meant for an earlier connection is of no use on this one.
        while self.options.outgoing.try_recv().is_ok() {}
        if self.post(CoordinatorEvent::Registered { cluster }).await {
            Ok(())
        } else {
            Err(LinkDown::Stopping)
        }
    }

    /// Carries messages until the connection breaks.
    async fn serve(
        &mut self,
        address: &Address,
        mut receiver: FrameReceiver,
        mut sender: FrameSender,
    ) -> LinkDown {
        let mut beats = interval(self.options.pulse.heartbeat_interval());
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let sent = tokio::select! {
                received = receiver.receive::<CoordinatorToNode>() => match received {
                    Ok(Some(message)) => {
                        if !self.post(CoordinatorEvent::Said(message)).await {
                            return LinkDown::Stopping;
                        }
                        Ok(())
                    }
                    Ok(None) => return LinkDown::Closed { address: address.clone() },
                    Err(cause) => Err(cause),
                },
                message = self.options.outgoing.recv() => match message {
                    Some(message) => sender.send(&message).await,
                    None => return LinkDown::Stopping,
                },
                _ = beats.tick() => sender.send(&self.heartbeat()).await,
            };
            if let Err(cause) = sent {
                return broke(address, cause);
            }
        }
    }

    fn heartbeat(&self) -> NodeToCoordinator {
        let mut report = self.options.reports.borrow().clone();
        let now = clock::monotonic();
        self.options.pulse.heartbeat(now);
        let age = self.options.pulse.serving_age(now);
        report.serving_age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        NodeToCoordinator::Heartbeat(report)
    }

    fn hello(&self) -> Hello {
        let registration = &self.options.registration;
        Hello {
            protocol: PROTOCOL_VERSION,
            cluster: self.options.pulse.cluster(),
            caller: Caller::Node {
                node: registration.node,
                incarnation: registration.incarnation,
            },
            credentials: None,
        }
    }

    fn registration(&self) -> Registration {
        let report = self.options.reports.borrow();
        Registration {
            standing: standing(&report, self.options.imported),
            ..self.options.registration.clone()
        }
    }

    fn check_cluster(&self, address: &Address, theirs: ClusterId) -> Result<(), LinkDown> {
        match self.options.pulse.cluster() {
            Some(ours) if ours != theirs => Err(LinkDown::WrongCluster {
                address: address.clone(),
                ours,
                theirs,
            }),
            _ => Ok(()),
        }
    }

    async fn post(&self, event: CoordinatorEvent) -> bool {
        self.options.mailbox.send(Event::Coordinator(event)).await
    }
}

/// What the node brings along: data only before its first view.
pub(crate) fn standing(report: &NodeReport, imported: Option<DataSummary>) -> Standing {
    if report.view_epoch.0 == 0 && report.seal.0 == 0 {
        Standing::Fresh { data: imported }
    } else {
        Standing::Veteran {
            view_epoch: report.view_epoch,
            seal: report.seal,
        }
    }
}

async fn answer(
    address: &Address,
    connection: &mut Connection,
) -> Result<CoordinatorToNode, LinkDown> {
    let silent = || LinkDown::Silent {
        address: address.clone(),
    };
    match timeout(REGISTRATION_TIMEOUT, connection.receive()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(LinkDown::Closed {
            address: address.clone(),
        }),
        Ok(Err(cause)) => Err(broke(address, cause)),
        Err(_) => Err(silent()),
    }
}

fn broke(address: &Address, cause: LinkError) -> LinkDown {
    LinkDown::Broke {
        address: address.clone(),
        cause,
    }
}
