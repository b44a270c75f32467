//! What a refusal means for the request that was refused.

use kv_common::refusal::Refusal;

use crate::request::Protection;

/// What to do with a request that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Ask another node.
    Elsewhere,
    /// Ask again after a pause.
    Again,
    /// Ask again; the attempt may have taken effect.
    AgainUncertain,
    /// Take a number of a new session and ask again.
    InNewSession,
    /// It is over: refused.
    Refused,
    /// It is over: nobody knows whether it took effect.
    OutcomeUnknown,
}

/// What to do with a request that was refused with `refusal`. `uncertain`: an earlier attempt may
/// have taken effect, or may yet.
pub(crate) fn decide(refusal: &Refusal, protection: Protection, uncertain: bool) -> Decision {
    match refusal {
        Refusal::NotPrimary { .. } => Decision::Elsewhere,
        Refusal::TakingOver { .. }
        | Refusal::TooFewInSync { .. }
        | Refusal::LeaseLost
        | Refusal::Overloaded { .. }
        | Refusal::DiskFailed { .. } => Decision::Again,
        Refusal::OutcomeUnknown => match protection {
            Protection::Harmless => Decision::Again,
            Protection::Numbered => Decision::AgainUncertain,
            Protection::Unprotected => Decision::OutcomeUnknown,
        },
        // The session that would tell whether the earlier attempt took effect is gone.
        Refusal::UnknownSession { .. } if uncertain => Decision::OutcomeUnknown,
        Refusal::UnknownSession { .. } => match protection {
            Protection::Numbered => Decision::InNewSession,
            Protection::Harmless | Protection::Unprotected => Decision::Refused,
        },
        Refusal::BeyondWindow { .. } if uncertain => Decision::Again,
        Refusal::BeyondWindow { .. } => Decision::InNewSession,
        Refusal::KeyTooLong { .. } | Refusal::ValueTooLong { .. } | Refusal::TooManyKeys { .. } => {
            Decision::Refused
        }
        // An earlier attempt may still be on its way, and what is refused now may be done then.
        Refusal::BelowFloor { .. }
        | Refusal::TooManySessions { .. }
        | Refusal::NotANumber
        | Refusal::Overflow
        | Refusal::NotADecimal
        | Refusal::DecimalOverflow
        | Refusal::TooLarge { .. }
        | Refusal::NotFound { .. }
        | Refusal::NotAllowed { .. } => {
            if uncertain {
                Decision::OutcomeUnknown
            } else {
                Decision::Refused
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Decision, decide};
    use crate::request::Protection::{Harmless, Numbered, Unprotected};
    use kv_common::id::{Epoch, Position, SessionId};
    use kv_common::refusal::Refusal;

    fn unknown_session() -> Refusal {
        Refusal::UnknownSession {
            session: SessionId(Position::ZERO),
        }
    }

    #[test]
    fn what_asks_for_a_retry_gets_one() {
        for refusal in [
            Refusal::TakingOver { epoch: Epoch(1) },
            Refusal::TooFewInSync { have: 1, need: 2 },
            Refusal::LeaseLost,
            Refusal::Overloaded { waiting_bytes: 1 },
            Refusal::DiskFailed {
                cause: String::new(),
            },
        ] {
            assert!(refusal.asks_for_retry());
            for protection in [Harmless, Numbered, Unprotected] {
                assert_eq!(decide(&refusal, protection, false), Decision::Again);
            }
        }
    }

    #[test]
    fn an_unknown_outcome_is_retried_only_where_that_is_safe() {
        let refusal = Refusal::OutcomeUnknown;
        assert_eq!(decide(&refusal, Harmless, false), Decision::Again);
        assert_eq!(decide(&refusal, Numbered, false), Decision::AgainUncertain);
        let unprotected = decide(&refusal, Unprotected, false);
        assert_eq!(unprotected, Decision::OutcomeUnknown);
    }

    #[test]
    fn an_unknown_session_is_renewed_only_for_what_was_never_tried() {
        let refusal = unknown_session();
        assert_eq!(decide(&refusal, Numbered, false), Decision::InNewSession);
        assert_eq!(decide(&refusal, Numbered, true), Decision::OutcomeUnknown);
    }

    #[test]
    fn a_refusal_after_an_uncertain_attempt_is_no_certain_refusal() {
        let refusal = Refusal::NotANumber;
        assert_eq!(decide(&refusal, Numbered, false), Decision::Refused);
        assert_eq!(decide(&refusal, Numbered, true), Decision::OutcomeUnknown);
        let limit = Refusal::KeyTooLong { bytes: 2, max: 1 };
        assert_eq!(decide(&limit, Numbered, true), Decision::Refused);
    }
}
