//! The kinds of operations that are measured apart.

use kv_common::command::Command;

/// The kinds of operations that are measured apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Put,
    Delete,
    Exists,
    Incr,
    /// When a key goes by itself: asked or changed.
    Expiry,
    /// A value changed in its place.
    Edit,
    /// Several keys at once.
    Many,
    Transaction,
    /// Which keys there are.
    Scan,
    /// What clients need beside the operations of their users.
    Session,
}

impl Operation {
    /// In the order of the enum.
    pub(super) const ALL: [Self; 11] = [
        Self::Get,
        Self::Put,
        Self::Delete,
        Self::Exists,
        Self::Incr,
        Self::Expiry,
        Self::Edit,
        Self::Many,
        Self::Transaction,
        Self::Scan,
        Self::Session,
    ];

    pub(crate) fn of(command: &Command) -> Self {
        match command {
            Command::Get { .. } => Self::Get,
            Command::Put { .. } => Self::Put,
            Command::Delete { .. } | Command::Clear => Self::Delete,
            Command::Exists { .. } => Self::Exists,
            Command::Incr { .. } => Self::Incr,
            Command::Ttl { .. }
            | Command::Expire { .. }
            | Command::Persist { .. }
            | Command::ExpiresAt { .. } => Self::Expiry,
            Command::Edit { .. } => Self::Edit,
            Command::GetMany { .. }
            | Command::PutMany { .. }
            | Command::Copy { .. }
            | Command::CombineBits { .. } => Self::Many,
            Command::Transaction { .. } => Self::Transaction,
            Command::Scan { .. }
            | Command::CountKeys
            | Command::Keys { .. }
            | Command::AnyKey { .. } => Self::Scan,
            Command::OpenSession
            | Command::EndSession { .. }
            | Command::Mark
            | Command::Fingerprints { .. } => Self::Session,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Exists => "exists",
            Self::Incr => "incr",
            Self::Expiry => "expiry",
            Self::Edit => "edit",
            Self::Many => "many",
            Self::Transaction => "transaction",
            Self::Scan => "scan",
            Self::Session => "session",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;

    #[test]
    fn each_kind_has_its_own_place() {
        for (index, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, index);
        }
    }
}
