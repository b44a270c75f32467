//! A run: faults, then healing, then judgement.

use kv_common::id::NodeId;

use crate::fault_kinds::FaultKind;
use crate::history::{Record, first_unexplained};
use crate::invariants::Violation;
use crate::trace::Event;
use crate::world::{Options, TrueNs, World};

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Operations that were answered.
    pub answered: u64,
    /// The epoch of the last view.
    pub epoch: u64,
}

/// What a run found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Something that must always hold does not.
    Invariant(Violation),
    /// Some answers cannot be explained by one copy of the key space.
    NotLinearizable {
        /// The key.
        key: u32,
    },
    /// After healing, not every node is in sync.
    NotInSync {
        /// What the members are.
        members: usize,
        /// What they should be.
        expected: usize,
    },
    /// After healing, copies differ.
    CopiesDiffer {
        /// Two nodes that do.
        nodes: (NodeId, NodeId),
    },
    /// After healing, nobody got anything done.
    NoProgress,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invariant(violation) => violation.fmt(f),
            Self::NotLinearizable { key } => {
                write!(f, "the answers on key {key} are not linearizable")
            }
            Self::NotInSync { members, expected } => {
                write!(
                    f,
                    "{members} of {expected} copies are in sync after healing"
                )
            }
            Self::CopiesDiffer { nodes } => write!(
                f,
                "nodes {} and {} differ after healing",
                nodes.0.0, nodes.1.0
            ),
            Self::NoProgress => write!(f, "no client gets anything done after healing"),
        }
    }
}

/// Runs a cluster through its faults and judges it.
///
/// # Errors
/// The first finding.
///
/// # Panics
/// When a core finds one of its invariants broken.
pub fn run(options: Options) -> Result<Summary, Finding> {
    run_traced(options).0
}

/// The same, with the lines of the trace that were kept.
///
/// # Panics
/// When a core finds one of its invariants broken.
pub fn run_traced(options: Options) -> (Result<Summary, Finding>, Vec<String>) {
    let mut world = World::new(options);
    let faults_end = ns(options.faults_for);
    world.run_until(faults_end);
    world.faults_go_on = false;
    let healing = ns(options.healing_for);
    world.run_until(faults_end + healing / 2);
    let expected = copies(&world) - usize::from(lose_primary_for_good(&mut world));
    let before = answered(&world);
    world.run_until(faults_end + healing);
    let outcome = match world.violation.take() {
        Some(violation) => Err(Finding::Invariant(violation)),
        None => judge(&mut world, before, expected),
    };
    if outcome.is_err() {
        world.trace_ends();
    }
    let summary = outcome.map(|()| Summary {
        answered: answered(&world),
        epoch: epoch(&world),
    });
    (summary, world.trace.into_lines())
}

/// How many copies a healed cluster has.
fn copies(world: &World) -> usize {
    world.nodes.len().min(3)
}

/// In one of four runs of two or three nodes that crash, the primary does not come back: who is left has to go on
/// without its word, whatever befell them before. Says whether it is gone.
fn lose_primary_for_good(world: &mut World) -> bool {
    let crashes = world.options.faults.contains(FaultKind::Crashes);
    let chosen = crashes && world.options.seed % 4 == 3 && (2..=3).contains(&world.nodes.len());
    let view = world
        .coordinator
        .map
        .as_ref()
        .and_then(|map| map.view.as_ref());
    let in_sync = view.filter(|view| view.member_count() == copies(world));
    let Some(primary) = in_sync.filter(|_| chosen).map(|view| view.primary.node) else {
        return false;
    };
    world.crash_node(primary);
    true
}

fn judge(world: &mut World, before: u64, expected: usize) -> Result<(), Finding> {
    let records = world.all_records();
    if let Some(key) = first_unexplained(&records) {
        trace_history(world, &records, key);
        return Err(Finding::NotLinearizable { key });
    }
    let view = world
        .coordinator
        .map
        .as_ref()
        .and_then(|map| map.view.as_ref());
    let members = view.map_or(0, kv_common::view::View::member_count);
    if members != expected {
        return Err(Finding::NotInSync { members, expected });
    }
    if answered(world) == before {
        return Err(Finding::NoProgress);
    }
    equal_copies(world)
}

/// Traces what clients did to a key, in the order in which they began.
fn trace_history(world: &mut World, records: &[Record], key: u32) {
    let mut of_key: Vec<&Record> = records.iter().filter(|record| record.key == key).collect();
    of_key.sort_by_key(|record| record.invoked_ns);
    for record in of_key {
        world
            .trace
            .note(world.now, || Event::ClientDid(record.clone()));
    }
}

/// Copies at the same position must be the same.
fn equal_copies(world: &World) -> Result<(), Finding> {
    let copies: Vec<_> = world
        .nodes
        .values()
        .filter_map(|node| Some((node.id, &node.process.as_ref()?.replica)))
        .collect();
    for (index, (one, first)) in copies.iter().enumerate() {
        for (other, second) in &copies[index + 1..] {
            let differ = first.applied() == second.applied()
                && first.state().digest() != second.state().digest();
            if differ {
                let nodes = (*one, *other);
                return Err(Finding::CopiesDiffer { nodes });
            }
        }
    }
    Ok(())
}

fn answered(world: &World) -> u64 {
    world.clients.iter().map(|client| client.answered).sum()
}

fn epoch(world: &World) -> u64 {
    let view = world
        .coordinator
        .map
        .as_ref()
        .and_then(|map| map.view.as_ref());
    view.map_or(0, |view| view.epoch.0)
}

fn ns(duration: std::time::Duration) -> TrueNs {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
