//! Commands on one value that read it and write it in one step, and what guards a transaction.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{Expiry, PutCondition};

/// What becomes of a key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpiryEdit {
    /// It has none from now on.
    Drop,
    /// It stays as it is.
    Keep,
    /// It is replaced.
    Replace(Expiry),
}

/// What must hold for a key to be given another expiry. A key without an expiry counts as one that
/// goes after any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpiryCondition {
    /// Nothing.
    Always,
    /// It has none.
    IfNone,
    /// It has one.
    IfSome,
    /// The new one is later.
    IfLater,
    /// The new one is earlier.
    IfEarlier,
    /// It has one, and the new one is earlier.
    IfSomeAndEarlier,
}

/// What to do when a number does not fit its bit field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitFieldOverflow {
    /// Keep the low bits.
    Wrap,
    /// Take the nearest number that fits.
    Saturate,
    /// Change nothing, and answer that.
    Fail,
}

/// Where a number stands in a value, bit by bit, the highest bit first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BitField {
    /// Whether the number has a sign (two's complement).
    pub signed: bool,
    /// 1 to 64 bits, 63 without a sign.
    pub bits: u8,
    /// The first bit.
    pub offset: u64,
}

/// One step of [`Edit::BitFields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitFieldStep {
    /// The number.
    Get(BitField),
    /// Sets the number; the answer is the former one.
    Set(BitField, i64, BitFieldOverflow),
    /// Adds to the number; the answer is the sum.
    Add(BitField, i64, BitFieldOverflow),
}

/// What is done to the value of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// Sets it → [`Reply::Done`] or [`Reply::ConditionFailed`]; with `returns_old`
    /// [`Reply::Value`], the former value, whether or not the condition held.
    ///
    /// [`Reply::Done`]: crate::command::Reply::Done
    /// [`Reply::ConditionFailed`]: crate::command::Reply::ConditionFailed
    /// [`Reply::Value`]: crate::command::Reply::Value
    Set {
        /// The new value.
        value: Bytes,
        /// What becomes of the expiry.
        expiry: ExpiryEdit,
        /// What must hold.
        condition: PutCondition,
        /// Whether the former value is the answer.
        returns_old: bool,
    },
    /// Reads it and changes its expiry → the value.
    GetAndExpire(ExpiryEdit),
    /// Removes the key → its former value.
    Take,
    /// Removes the key, if the condition holds → how many keys that were.
    Remove(PutCondition),
    /// Changes the expiry of a key that is there → 1, or 0 if the condition did not hold.
    Expire {
        /// The new expiry.
        expiry: Expiry,
        /// What must hold.
        condition: ExpiryCondition,
    },
    /// Appends; an absent key is empty → the new length.
    Append(Bytes),
    /// Writes over a part, after filling up with zero bytes → the new length. An empty part changes
    /// nothing.
    Overwrite {
        /// Where the part goes.
        offset: u64,
        /// The part.
        part: Bytes,
    },
    /// Adds to a decimal number with a fraction; an absent key is 0 → the new value.
    AddDecimal(Bytes),
    /// Sets one bit, the highest of a byte first → the former bit.
    SetBit {
        /// Which.
        offset: u64,
        /// To what.
        bit: bool,
    },
    /// Numbers within the value → [`Reply::Numbers`], one for each step.
    ///
    /// [`Reply::Numbers`]: crate::command::Reply::Numbers
    BitFields(Vec<BitFieldStep>),
}

/// How bits of several values become those of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitOperator {
    /// Set in all.
    And,
    /// Set in any.
    Or,
    /// Set in an odd number.
    Xor,
    /// Not set in the one.
    Not,
}

/// A fingerprint of a key's state: 0 when it is absent, else of value and expiry. Equal states have
/// equal fingerprints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(pub u128);

/// A transaction is done only if this still holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The key.
    pub key: Bytes,
    /// What its state was.
    pub fingerprint: Fingerprint,
}
