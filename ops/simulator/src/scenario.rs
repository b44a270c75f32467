//! Clusters and faults that have a name.

use clap::ValueEnum;
use kv_common::message::control::FsyncMode;

use crate::fault_kinds::{FaultKind, FaultKinds};

/// A cluster, and what may go wrong in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Three nodes, and everything goes wrong
    Mixed,
    /// Two nodes: one in sync is enough for writes
    TwoCopies,
    /// Five nodes, of which two wait for a place
    Spares,
    /// One node
    Alone,
    /// Three nodes whose disks lag behind
    Everysec,
    /// Three nodes, and nothing goes wrong
    Calm,
    /// Three nodes that only lose sight of each other
    Partitions,
    /// Three nodes whose coordinator dies or loses its disk
    LostCoordinator,
    /// Three nodes whose role is handed over while they crash
    Handovers,
    /// Five nodes that are taken out and let in again while they crash
    Maintenance,
}

impl Scenario {
    /// How many nodes there are.
    #[must_use]
    pub fn nodes(self) -> u8 {
        match self {
            Self::Alone => 1,
            Self::TwoCopies => 2,
            Self::Mixed
            | Self::Everysec
            | Self::Calm
            | Self::Partitions
            | Self::LostCoordinator
            | Self::Handovers => 3,
            Self::Spares | Self::Maintenance => 5,
        }
    }

    /// When an entry counts as held.
    #[must_use]
    pub fn fsync(self) -> FsyncMode {
        match self {
            Self::Everysec => FsyncMode::EverySec,
            _ => FsyncMode::Always,
        }
    }

    /// What may go wrong.
    #[must_use]
    pub fn faults(self) -> FaultKinds {
        let kinds: &[FaultKind] = match self {
            Self::Mixed | Self::TwoCopies | Self::Spares | Self::Alone | Self::Everysec => {
                return FaultKinds::all();
            }
            Self::Calm => &[],
            Self::Partitions => &[FaultKind::Cuts, FaultKind::Delays],
            Self::LostCoordinator => &[
                FaultKind::Coordinator,
                FaultKind::Crashes,
                FaultKind::Cuts,
                FaultKind::Delays,
            ],
            Self::Handovers => &[
                FaultKind::Switchovers,
                FaultKind::Crashes,
                FaultKind::Pauses,
                FaultKind::Delays,
            ],
            Self::Maintenance => &[
                FaultKind::Drains,
                FaultKind::Settings,
                FaultKind::Switchovers,
                FaultKind::Crashes,
                FaultKind::Cuts,
                FaultKind::Delays,
                FaultKind::Coordinator,
                FaultKind::LogHeads,
            ],
        };
        kinds.iter().copied().collect()
    }
}
