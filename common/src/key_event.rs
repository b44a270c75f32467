//! What happened to a key, for who listens to that.

use bytes::Bytes;

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    /// What.
    pub kind: KeyEventKind,
    /// To which key.
    pub key: Bytes,
}

/// What happens to keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEventKind {
    /// It was given a value.
    Set,
    /// Bytes were appended.
    Append,
    /// A part was written over.
    SetRange,
    /// A whole number was added.
    Increment,
    /// A decimal number was added.
    IncrementDecimal,
    /// Bits were changed.
    SetBit,
    /// It was removed.
    Delete,
    /// It was given an expiry.
    Expire,
    /// It lost its expiry.
    Persist,
    /// Its time had come, and it was removed.
    Expired,
    /// It was given another name.
    RenameFrom,
    /// This is the other name.
    RenameTo,
    /// It was made by copying another.
    CopyTo,
}
