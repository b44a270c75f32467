//! The kinds of refusals that are counted apart.

use kv_common::refusal::Refusal;

/// The kinds of refusals that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NotPrimary,
    TakingOver,
    TooFewInSync,
    LeaseLost,
    OutcomeUnknown,
    Overloaded,
    Session,
    DiskFailed,
    /// What the client asked for cannot be done.
    Request,
}

impl Reason {
    /// In the order of the enum.
    pub(super) const ALL: [Self; 9] = [
        Self::NotPrimary,
        Self::TakingOver,
        Self::TooFewInSync,
        Self::LeaseLost,
        Self::OutcomeUnknown,
        Self::Overloaded,
        Self::Session,
        Self::DiskFailed,
        Self::Request,
    ];

    pub(super) fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NotPrimary { .. } => Self::NotPrimary,
            Refusal::TakingOver { .. } => Self::TakingOver,
            Refusal::TooFewInSync { .. } => Self::TooFewInSync,
            Refusal::LeaseLost => Self::LeaseLost,
            Refusal::OutcomeUnknown => Self::OutcomeUnknown,
            Refusal::Overloaded { .. } => Self::Overloaded,
            Refusal::UnknownSession { .. }
            | Refusal::BelowFloor { .. }
            | Refusal::BeyondWindow { .. }
            | Refusal::TooManySessions { .. } => Self::Session,
            Refusal::DiskFailed { .. } => Self::DiskFailed,
            Refusal::NotANumber
            | Refusal::Overflow
            | Refusal::NotADecimal
            | Refusal::DecimalOverflow
            | Refusal::TooLarge { .. }
            | Refusal::KeyTooLong { .. }
            | Refusal::ValueTooLong { .. }
            | Refusal::TooManyKeys { .. }
            | Refusal::NotFound { .. }
            | Refusal::NotAllowed { .. } => Self::Request,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NotPrimary => "not-primary",
            Self::TakingOver => "taking-over",
            Self::TooFewInSync => "too-few-in-sync",
            Self::LeaseLost => "lease-lost",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::Overloaded => "overloaded",
            Self::Session => "session",
            Self::DiskFailed => "disk-failed",
            Self::Request => "request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn each_kind_has_its_own_place() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
