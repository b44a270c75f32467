//! What happened in a run, one event a line, for whoever follows what went wrong.

use std::fmt;

use kv_common::id::{Incarnation, NodeId};
use kv_common::message::control::{CoordinatorToNode, RegistrationRefusal};
use kv_common::refusal::Refusal;
use kv_common::view::ClusterMap;

use crate::faults::Fault;
use crate::history::Record;
use crate::invariants::Violation;
use crate::world::{MS, TrueNs};

/// What becomes of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracing {
    /// Nothing.
    #[default]
    Off,
    /// They are printed as they happen.
    Print,
    /// They are kept, and handed out with the outcome.
    Keep,
}

/// Something that happened.
pub(crate) enum Event {
    Fault(Fault),
    RunBegins {
        node: NodeId,
        run: Incarnation,
    },
    NodeCrashes {
        node: NodeId,
    },
    RoleChanges {
        node: NodeId,
        role: String,
    },
    RegistrationRefused {
        node: NodeId,
        why: RegistrationRefusal,
    },
    /// How a node stands when the run is over.
    NodeEnds {
        node: NodeId,
        how: String,
    },
    CoordinatorStarts,
    CoordinatorCrashes,
    CoordinatorLosesDisk,
    /// A line of its log: what it decided, and why.
    CoordinatorDecides(String),
    CoordinatorTells {
        node: NodeId,
        message: CoordinatorToNode,
    },
    CoordinatorPushes(ClusterMap),
    OrderEnds(Result<String, Refusal>),
    ClientRefused {
        client: usize,
        refusal: Refusal,
    },
    /// What a client did to the key that is not explained.
    ClientDid(Record),
    Violated(Violation),
}

impl Event {
    fn who(&self) -> String {
        match self {
            Self::Fault(_) => "fault".to_owned(),
            Self::RunBegins { node, .. }
            | Self::NodeCrashes { node }
            | Self::RoleChanges { node, .. }
            | Self::RegistrationRefused { node, .. }
            | Self::NodeEnds { node, .. } => format!("node {}", node.0),
            Self::CoordinatorStarts
            | Self::CoordinatorCrashes
            | Self::CoordinatorLosesDisk
            | Self::CoordinatorDecides(_)
            | Self::CoordinatorTells { .. }
            | Self::CoordinatorPushes(_)
            | Self::OrderEnds(_) => "coordinator".to_owned(),
            Self::ClientRefused { client, .. } => format!("client {client}"),
            Self::ClientDid(_) => "history".to_owned(),
            Self::Violated(_) => "invariant".to_owned(),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "{fault:?}"),
            Self::RunBegins { run, .. } => write!(f, "run {run} begins"),
            Self::NodeCrashes { .. } | Self::CoordinatorCrashes => f.write_str("crashes"),
            Self::RoleChanges { role, .. } => f.write_str(role),
            Self::RegistrationRefused { why, .. } => write!(f, "is not registered: {why}"),
            Self::NodeEnds { how, .. } => f.write_str(how),
            Self::CoordinatorStarts => f.write_str("starts"),
            Self::CoordinatorLosesDisk => f.write_str("loses its disk"),
            Self::CoordinatorDecides(line) => f.write_str(line),
            Self::CoordinatorTells { node, message } => {
                write!(f, "to node {}: {message:?}", node.0)
            }
            Self::CoordinatorPushes(map) => match &map.view {
                Some(view) => write!(f, "pushes {view}, joiners {:?}", map.joiners),
                None => f.write_str("pushes a map without a view"),
            },
            Self::OrderEnds(Ok(done)) => write!(f, "an order is done: {done}"),
            Self::OrderEnds(Err(refusal)) => write!(f, "an order is refused: {refusal}"),
            Self::ClientRefused { refusal, .. } => write!(f, "is refused: {refusal}"),
            Self::ClientDid(record) => {
                write!(f, "{:.3} ms to ", ms(record.invoked_ns))?;
                match record.answered_ns {
                    Some(answered_ns) => write!(f, "{:.3} ms", ms(answered_ns))?,
                    None => f.write_str("unknown")?,
                }
                write!(f, ": {:?}", record.operation)
            }
            Self::Violated(violation) => violation.fmt(f),
        }
    }
}

/// Where events go.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    tracing: Tracing,
    kept: Vec<String>,
}

impl Trace {
    pub(crate) fn new(tracing: Tracing) -> Self {
        let kept = Vec::new();
        Self { tracing, kept }
    }

    /// Takes note of an event, which is made only if somebody wants it.
    pub(crate) fn note(&mut self, now: TrueNs, event: impl FnOnce() -> Event) {
        if self.tracing == Tracing::Off {
            return;
        }
        let event = event();
        let line = format!("{:>10.3} ms  {:<12} {event}", ms(now), event.who());
        match self.tracing {
            Tracing::Off => {}
            Tracing::Print => println!("{line}"),
            Tracing::Keep => self.kept.push(line),
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.kept
    }
}

#[allow(clippy::cast_precision_loss, reason = "for display")]
fn ms(ns: TrueNs) -> f64 {
    ns as f64 / MS as f64
}
