//! What nodes said and nothing was done about, by reason.

use kv_common::message::control::RegistrationRefusal;

/// Why something that a node said was not acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageRefusal {
    /// A later run of the node is registered, or it is not who it said when it connected.
    OldIncarnation,
    /// The node's `--fsync` is not the cluster's.
    OtherFsync,
    /// Another node has its address.
    AddressTaken,
    /// Another node has its name.
    NameTaken,
    /// More nodes are known than are kept.
    TooManyNodes,
    /// The node was forgotten.
    Forgotten,
    /// It spoke without being registered on this connection.
    Unregistered,
    /// A heartbeat names another node than the one that sent it.
    OtherNode,
    /// A proposal does not replace the view in force, or does not come from its primary.
    OldProposal,
    /// A proposal that names who must not be in a view.
    BadProposal,
    /// A seal is answered by a run or a node that it does not count for.
    StraySeal,
    /// A handover that failed is not the one under way.
    OldHandover,
}

impl MessageRefusal {
    /// All of them, in the order of the enum.
    pub const ALL: [Self; 12] = [
        Self::OldIncarnation,
        Self::OtherFsync,
        Self::AddressTaken,
        Self::NameTaken,
        Self::TooManyNodes,
        Self::Forgotten,
        Self::Unregistered,
        Self::OtherNode,
        Self::OldProposal,
        Self::BadProposal,
        Self::StraySeal,
        Self::OldHandover,
    ];

    /// What it is called where it is counted.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OldIncarnation => "old-incarnation",
            Self::OtherFsync => "other-fsync",
            Self::AddressTaken => "address-taken",
            Self::NameTaken => "name-taken",
            Self::TooManyNodes => "too-many-nodes",
            Self::Forgotten => "forgotten",
            Self::Unregistered => "unregistered",
            Self::OtherNode => "other-node",
            Self::OldProposal => "old-proposal",
            Self::BadProposal => "bad-proposal",
            Self::StraySeal => "stray-seal",
            Self::OldHandover => "old-handover",
        }
    }
}

impl From<&RegistrationRefusal> for MessageRefusal {
    fn from(refusal: &RegistrationRefusal) -> Self {
        match refusal {
            RegistrationRefusal::OldIncarnation { .. } => Self::OldIncarnation,
            RegistrationRefusal::Fsync { .. } => Self::OtherFsync,
            RegistrationRefusal::AddressTaken { .. } => Self::AddressTaken,
            RegistrationRefusal::NameTaken { .. } => Self::NameTaken,
            RegistrationRefusal::TooManyNodes { .. } => Self::TooManyNodes,
            RegistrationRefusal::Forgotten => Self::Forgotten,
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
