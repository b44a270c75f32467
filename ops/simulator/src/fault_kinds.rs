//! Which faults a run may have.

use clap::ValueEnum;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FaultKind {
    /// Nodes die and come back, one or all.
    Crashes,
    /// Nodes stand still.
    Pauses,
    /// Messages do not arrive, one way or both ways; connections break.
    Cuts,
    /// Messages and flushes take long now and then; copies of requests come late.
    Delays,
    /// Disks stall or fail.
    Disks,
    /// With everysec: machines lose power, and what was written last.
    Power,
    /// Logs let go of their heads, so that copies are needed.
    LogHeads,
    /// Wall clocks are set.
    Clocks,
    /// The coordinator dies, also while it pushes a view, or loses its disk.
    Coordinator,
    /// An operator has the primary's role handed over.
    Switchovers,
    /// An operator takes nodes out for a while.
    Drains,
    /// An operator has the coordinator take over another heartbeat interval.
    Settings,
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultKinds(u16);

impl FaultKinds {
    /// None: a calm run.
    pub const NONE: Self = Self(0);

    /// Every kind of mishap. Drains and settings are none: they change what a healthy cluster looks like.
    #[must_use]
    pub fn all() -> Self {
        let kinds = FaultKind::value_variants().iter().copied();
        kinds
            .filter(|kind| !matches!(kind, FaultKind::Drains | FaultKind::Settings))
            .collect()
    }

    /// Whether this kind is in it.
    #[must_use]
    pub fn contains(self, kind: FaultKind) -> bool {
        self.0 & bit(kind) != 0
    }
}

impl FromIterator<FaultKind> for FaultKinds {
    fn from_iter<T: IntoIterator<Item = FaultKind>>(kinds: T) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | bit(kind)))
    }
}

fn bit(kind: FaultKind) -> u16 {
    1 << kind as u16
}
