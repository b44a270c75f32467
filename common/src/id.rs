//! Identities and log positions, each a type of its own so that none is taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares an id that is an opaque 64-bit number, shown as 16 hexadecimal digits.
macro_rules! opaque_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NoId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                // The number alone would take a sign as well.
                let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let number = u64::from_str_radix(text, 16).ok();
                number.filter(|_| digits).map(Self).ok_or(NoId)
            }
        }
    };
}

/// Text that is not the id of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 16 hexadecimal digits, such as 3f00d2c19ab47e65")]
pub struct NoId;

opaque_id! {
    /// A node, for as long as its data directory exists. Drawn once, at the node's first start.
    NodeId
}

opaque_id! {
    /// A cluster. Drawn by the coordinator at its first start; a node joins one for good.
    ClusterId
}

/// Declares a counting number that is shown in decimal.
macro_rules! counter {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize,
            Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The number before every other.
            pub const ZERO: Self = Self(0);

            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

counter! {
    /// One run of a node's process: its first start is 1, and each start counts one up, durably.
    Incarnation
}

counter! {
    /// The number of a view. A higher epoch replaces a lower one; epoch 0 is before all views.
    Epoch
}

counter! {
    /// The place of an entry in the log of a shard. The first entry is 1; 0 is the empty log.
    Seq
}

/// The keys that one view governs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ShardId(pub u32);

/// A point in the log of a shard: the entry `seq`, written under `epoch`.
///
/// Positions order by epoch, then by seq. Two nodes that hold an entry at the same position hold
/// the same entry, because one primary writes in an epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// The epoch whose primary wrote the entry.
    pub epoch: Epoch,
    /// The place of the entry.
    pub seq: Seq,
}

impl Position {
    /// The empty log.
    pub const ZERO: Self = Self {
        epoch: Epoch::ZERO,
        seq: Seq::ZERO,
    };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// A client's retry record: the position of the logged entry that opened it, so that nobody can
/// make one up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub Position);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One request of a session. Retries carry the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The session that asks.
    pub session: SessionId,
    /// The number of the request in its session, from 1 up.
    pub number: u64,
}

/// Where a program listens, as `host:port`. Kept as text: names are resolved when dialled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address(pub String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || AddressError {
            text: text.to_owned(),
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if host.is_empty() || bare_v6 || host.contains(char::is_whitespace) {
            return Err(wrong());
        }
        port.parse::<u16>().map_err(|_| wrong())?;
        Ok(Self(text.to_owned()))
    }
}

/// A text that is not `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an address; write it as host:port, for example 127.0.0.1:7200")]
pub struct AddressError {
    /// What was given.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::{Address, ClusterId, Epoch, NodeId, Position, Seq};

    #[test]
    fn positions_order_by_epoch_first() {
        let at = |epoch, seq| Position {
            epoch: Epoch(epoch),
            seq: Seq(seq),
        };
        assert!(at(2, 1) > at(1, 9));
        assert!(at(2, 3) > at(2, 2));
    }

    #[test]
    fn an_id_is_hexadecimal_and_who_writes_another_is_told_so() {
        for id in [ClusterId(0), ClusterId(0xab), ClusterId(u64::MAX)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for bad in ["", "zzz", "+1f", "-1", " 1", "1ffffffffffffffff"] {
            let error = bad.parse::<ClusterId>().expect_err("is none");
            assert!(error.to_string().contains("16 hexadecimal digits"), "{bad}");
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_need_host_and_port() {
        for good in ["127.0.0.1:7100", "[::1]:7100", "db-1.example:1"] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in ["", ":1", "host", "host:", "host:70000", "::1:7", "a b:1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
