//! What other programs said and nothing was done about, by reason.

use kv_common::message::replication::FollowerRefusal;

/// Why something that another program said was not acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageRefusal {
    /// A primary spoke of an epoch that is over here.
    OldEpoch,
    /// A primary spoke of an epoch that this node is sealed against.
    Sealed,
    /// The sender is not the primary of the view, or speaks of another shard.
    NotThePrimary,
    /// A batch does not follow this log.
    Gap,
    /// A primary went on without a match of histories on this connection.
    NotMatched,
    /// A batch is damaged.
    BadBatch,
    /// The disk keeps nothing.
    DiskFailed,
    /// A follower spoke to a node that is no primary.
    NotPrimary,
    /// A node answered that is neither backup nor being brought in.
    UnknownFollower,
    /// An answer came on a connection that was replaced, or names another epoch.
    StaleAnswer,
    /// A follower claims to hold what it was never sent.
    NeverSent,
    /// A follower found a common point that is not in this history.
    ContraryHistory,
    /// A map, view, seal or handover that is older than what is known.
    OldOrder,
    /// A seal or a handover is for another shard.
    OtherShard,
}

impl MessageRefusal {
    /// All of them, in the order of the enum.
    pub const ALL: [Self; 14] = [
        Self::OldEpoch,
        Self::Sealed,
        Self::NotThePrimary,
        Self::Gap,
        Self::NotMatched,
        Self::BadBatch,
        Self::DiskFailed,
        Self::NotPrimary,
        Self::UnknownFollower,
        Self::StaleAnswer,
        Self::NeverSent,
        Self::ContraryHistory,
        Self::OldOrder,
        Self::OtherShard,
    ];

    /// What it is called where it is counted.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OldEpoch => "old-epoch",
            Self::Sealed => "sealed",
            Self::NotThePrimary => "not-the-primary",
            Self::Gap => "gap",
            Self::NotMatched => "not-matched",
            Self::BadBatch => "bad-batch",
            Self::DiskFailed => "disk-failed",
            Self::NotPrimary => "not-primary",
            Self::UnknownFollower => "unknown-follower",
            Self::StaleAnswer => "stale-answer",
            Self::NeverSent => "never-sent",
            Self::ContraryHistory => "contrary-history",
            Self::OldOrder => "old-order",
            Self::OtherShard => "other-shard",
        }
    }
}

impl From<&FollowerRefusal> for MessageRefusal {
    fn from(refusal: &FollowerRefusal) -> Self {
        match refusal {
            FollowerRefusal::OldEpoch { .. } => Self::OldEpoch,
            FollowerRefusal::Sealed { .. } => Self::Sealed,
            FollowerRefusal::NotThePrimary { .. } => Self::NotThePrimary,
            FollowerRefusal::Gap { .. } => Self::Gap,
            FollowerRefusal::NotMatched { .. } => Self::NotMatched,
            FollowerRefusal::BadBatch { .. } => Self::BadBatch,
            FollowerRefusal::DiskFailed { .. } => Self::DiskFailed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MessageRefusal;
    use std::collections::BTreeSet;

    #[test]
    fn each_has_its_place_and_a_name_of_its_own() {
        for (index, refusal) in MessageRefusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
        }
        let names: BTreeSet<_> = MessageRefusal::ALL.iter().map(|each| each.name()).collect();
        assert_eq!(names.len(), MessageRefusal::ALL.len());
    }
}
