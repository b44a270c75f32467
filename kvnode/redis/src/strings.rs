//! Commands on values.

use std::ops::Range;

use bytes::Bytes;
use kv_common::command::{Command, PutCondition};
use kv_common::edit::{Edit, ExpiryEdit};
use kv_resp::Value;

use crate::call::Call;
use crate::conditions::value_condition;
use crate::expiries::{TimeUnit, expiry};
use crate::fault::Fault;
use crate::plan::Plan;
use crate::shape::Shape;

/// Pairs of bytes that one LCS may compare.
const LCS_CELLS_MAX: usize = 16 << 20;

pub(crate) fn get(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Get { key }, Shape::Plain))
}

/// What SET and GETEX may say about the expiry.
#[derive(Clone, Copy)]
enum ExpiryOption {
    Keep,
    Drop,
    /// The time stands at this place.
    Time(TimeUnit, usize),
}

/// The options of SET and GETEX, as they come one after the other.
#[derive(Default)]
struct SetOptions {
    expiry: Option<ExpiryOption>,
    condition: Option<PutCondition>,
    returns_old: bool,
}

impl SetOptions {
    fn read(call: &Call<'_>, from: usize, sets: bool) -> Result<Self, Fault> {
        let mut options = Self::default();
        let mut at = from;
        while at < call.count() {
            let word = call.word(at);
            let takes_one = match word.as_str() {
                "NX" if sets => options.condition(PutCondition::IfAbsent)?,
                "XX" if sets => options.condition(PutCondition::IfPresent)?,
                "GET" if sets => {
                    options.returns_old = true;
                    false
                }
                "KEEPTTL" if sets => options.expiry(ExpiryOption::Keep)?,
                "PERSIST" if !sets => options.expiry(ExpiryOption::Drop)?,
                "EX" | "PX" | "EXAT" | "PXAT" if at + 1 < call.count() => {
                    let unit = match word.as_str() {
                        "EX" => TimeUnit::SECONDS,
                        "PX" => TimeUnit::MILLISECONDS,
                        "EXAT" => TimeUnit::SECONDS.absolute(),
                        _ => TimeUnit::MILLISECONDS.absolute(),
                    };
                    options.expiry(ExpiryOption::Time(unit, at + 1))?;
                    true
                }
                _ if sets => {
                    let condition = value_condition(call, at)?.ok_or(Fault::SYNTAX)?;
                    options.condition(condition)?;
                    true
                }
                _ => return Err(Fault::SYNTAX),
            };
            at += 1 + usize::from(takes_one);
        }
        Ok(options)
    }

    /// The same condition may be said twice, no two together.
    fn condition(&mut self, condition: PutCondition) -> Result<bool, Fault> {
        let is_another = self.condition.as_ref().is_some_and(|said| {
            *said != condition || !matches!(said, PutCondition::IfAbsent | PutCondition::IfPresent)
        });
        if is_another {
            return Err(Fault::SYNTAX);
        }
        self.condition = Some(condition);
        Ok(false)
    }

    /// Of the same option said twice, the last counts.
    fn expiry(&mut self, expiry: ExpiryOption) -> Result<bool, Fault> {
        match (&self.expiry, &expiry) {
            (None, _)
            | (Some(ExpiryOption::Keep), ExpiryOption::Keep)
            | (Some(ExpiryOption::Drop), ExpiryOption::Drop) => {}
            (Some(ExpiryOption::Time(said, _)), ExpiryOption::Time(unit, _)) if said == unit => {}
            _ => return Err(Fault::SYNTAX),
        }
        self.expiry = Some(expiry);
        Ok(false)
    }

    /// What becomes of the expiry. A time is looked at when all options are known to be such.
    fn expiry_edit(&self, call: &Call<'_>) -> Result<Option<ExpiryEdit>, Fault> {
        Ok(match self.expiry {
            None => None,
            Some(ExpiryOption::Keep) => Some(ExpiryEdit::Keep),
            Some(ExpiryOption::Drop) => Some(ExpiryEdit::Drop),
            Some(ExpiryOption::Time(unit, at)) => {
                Some(ExpiryEdit::Replace(positive_expiry(call, at, unit)?))
            }
        })
    }
}

fn positive_expiry(
    call: &Call<'_>,
    index: usize,
    unit: TimeUnit,
) -> Result<kv_common::command::Expiry, Fault> {
    if call.integer(index)? <= 0 {
        return Err(Fault::expiry(call.name()));
    }
    expiry(call, index, unit)
}

pub(crate) fn set(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let (key, value) = (call.bytes(1)?, call.bytes(2)?);
    let options = SetOptions::read(call, 3, true)?;
    let edit = Edit::Set {
        value,
        expiry: options.expiry_edit(call)?.unwrap_or(ExpiryEdit::Drop),
        condition: options.condition.unwrap_or(PutCondition::Always),
        returns_old: options.returns_old,
    };
    Ok(Plan::Ask(Command::Edit { key, edit }, Shape::Plain))
}

fn put(key: Bytes, value: Bytes, condition: PutCondition) -> Command {
    Command::Put {
        key,
        value,
        expiry: None,
        condition,
    }
}

pub(crate) fn set_if_absent(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let command = put(call.bytes(1)?, call.bytes(2)?, PutCondition::IfAbsent);
    Ok(Plan::Ask(command, Shape::OneIfDone))
}

pub(crate) fn set_for_seconds(call: &mut Call<'_>) -> Result<Plan, Fault> {
    set_for(call, TimeUnit::SECONDS)
}

pub(crate) fn set_for_milliseconds(call: &mut Call<'_>) -> Result<Plan, Fault> {
    set_for(call, TimeUnit::MILLISECONDS)
}

fn set_for(call: &Call<'_>, unit: TimeUnit) -> Result<Plan, Fault> {
    let command = Command::Put {
        key: call.bytes(1)?,
        value: call.bytes(3)?,
        expiry: Some(positive_expiry(call, 2, unit)?),
        condition: PutCondition::Always,
    };
    Ok(Plan::Ask(command, Shape::Plain))
}

fn edit(call: &Call<'_>, edit: Edit, shape: Shape) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Edit { key, edit }, shape))
}

pub(crate) fn get_and_set(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let set = Edit::Set {
        value: call.bytes(2)?,
        expiry: ExpiryEdit::Drop,
        condition: PutCondition::Always,
        returns_old: true,
    };
    edit(call, set, Shape::Plain)
}

pub(crate) fn get_and_delete(call: &mut Call<'_>) -> Result<Plan, Fault> {
    edit(call, Edit::Take, Shape::Plain)
}

pub(crate) fn get_and_expire(call: &mut Call<'_>) -> Result<Plan, Fault> {
    match SetOptions::read(call, 2, false)?.expiry_edit(call)? {
        None => get(call),
        Some(expiry) => edit(call, Edit::GetAndExpire(expiry), Shape::Plain),
    }
}

pub(crate) fn get_many(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let keys = call.rest(1);
    Ok(Plan::Ask(Command::GetMany { keys }, Shape::Plain))
}

pub(crate) fn set_many(call: &mut Call<'_>) -> Result<Plan, Fault> {
    put_many(call, false, Shape::Plain)
}

pub(crate) fn set_many_if_absent(call: &mut Call<'_>) -> Result<Plan, Fault> {
    put_many(call, true, Shape::OneIfDone)
}

fn put_many(call: &Call<'_>, if_absent: bool, shape: Shape) -> Result<Plan, Fault> {
    let (pairs, left) = call.arguments[1..].as_chunks::<2>();
    if !left.is_empty() {
        return Err(Fault::arity(call.name()));
    }
    let pairs = pairs.iter();
    let pairs = pairs.map(|[key, value]| (key.clone(), value.clone()));
    let pairs = pairs.collect();
    Ok(Plan::Ask(Command::PutMany { pairs, if_absent }, shape))
}

pub(crate) fn append(call: &mut Call<'_>) -> Result<Plan, Fault> {
    edit(call, Edit::Append(call.bytes(2)?), Shape::Plain)
}

pub(crate) fn length(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Get { key }, Shape::Length))
}

pub(crate) fn set_range(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let offset =
        u64::try_from(call.integer(2)?).map_err(|_| Fault::text("ERR offset is out of range"))?;
    let part = call.bytes(3)?;
    edit(call, Edit::Overwrite { offset, part }, Shape::Plain)
}

pub(crate) fn get_range(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Get { key }, Shape::Range { start, end }))
}

/// The bytes from `start` to `end`, both included; negative places count from the end.
pub(crate) fn sub_range(length: usize, start: i64, end: i64) -> Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    clamped_range(length, start, end)
}

/// The same, but both ends are brought to the beginning before they are compared.
pub(crate) fn clamped_range(length: usize, start: i64, end: i64) -> Range<usize> {
    let Ok(signed_length) = i64::try_from(length) else {
        return 0..0;
    };
    let place = |index: i64| match index {
        ..0 => (signed_length.saturating_add(index)).max(0),
        index => index,
    };
    let (first, last) = (place(start), place(end).min(signed_length - 1));
    if length == 0 || first > last {
        return 0..0;
    }
    // Both are within the length now.
    first as usize..last as usize + 1
}

pub(crate) fn increment(call: &mut Call<'_>) -> Result<Plan, Fault> {
    add(call, 1)
}

pub(crate) fn decrement(call: &mut Call<'_>) -> Result<Plan, Fault> {
    add(call, -1)
}

pub(crate) fn increment_by(call: &mut Call<'_>) -> Result<Plan, Fault> {
    add(call, call.integer(2)?)
}

pub(crate) fn decrement_by(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let by = call.integer(2)?;
    let by = by
        .checked_neg()
        .ok_or(Fault::text("ERR decrement would overflow"))?;
    add(call, by)
}

fn add(call: &Call<'_>, by: i64) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Incr { key, by }, Shape::Plain))
}

pub(crate) fn increment_by_decimal(call: &mut Call<'_>) -> Result<Plan, Fault> {
    edit(call, Edit::AddDecimal(call.bytes(2)?), Shape::Plain)
}

/// `DELIFEQ key value`.
pub(crate) fn delete_if_equal(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let condition = PutCondition::IfEquals(call.bytes(2)?);
    edit(call, Edit::Remove(condition), Shape::Plain)
}

/// `DELEX key [IFEQ value | IFNE value | IFDEQ digest | IFDNE digest]`.
pub(crate) fn delete_conditionally(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let condition = match call.count() {
        2 => PutCondition::Always,
        4 => value_condition(call, 2)?.ok_or(Fault::SYNTAX)?,
        _ => return Err(Fault::arity(call.name())),
    };
    edit(call, Edit::Remove(condition), Shape::Plain)
}

pub(crate) fn digest(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Get { key }, Shape::Digest))
}

/// What LCS is to answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct LcsOptions {
    length: bool,
    ranges: bool,
    range_min: usize,
    with_lengths: bool,
}

pub(crate) fn lcs(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let mut options = LcsOptions::default();
    let mut at = 3;
    while at < call.count() {
        match call.word(at).as_str() {
            "LEN" => options.length = true,
            "IDX" => options.ranges = true,
            "WITHMATCHLEN" => options.with_lengths = true,
            "MINMATCHLEN" if at + 1 < call.count() => {
                at += 1;
                options.range_min = usize::try_from(call.integer(at)?).unwrap_or(0);
            }
            _ => return Err(Fault::SYNTAX),
        }
        at += 1;
    }
    if options.length && options.ranges {
        return Err(Fault::text(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    let keys = vec![call.bytes(1)?, call.bytes(2)?];
    Ok(Plan::Ask(
        Command::GetMany { keys },
        Shape::LongestCommon(options),
    ))
}

/// A stretch that both values have, with where it begins and ends in each.
struct Match {
    first: Range<usize>,
    second: Range<usize>,
}

pub(crate) fn longest_common_subsequence(options: &LcsOptions, values: &[Option<Bytes>]) -> Value {
    let value = |index: usize| values.get(index).and_then(Option::as_deref).unwrap_or(&[]);
    let (a, b) = (value(0), value(1));
    if (a.len() + 1).saturating_mul(b.len() + 1) > LCS_CELLS_MAX {
        return Value::error(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        );
    }
    // lengths[i][j]: of what the first i and the first j bytes have in common.
    let width = b.len() + 1;
    let mut lengths = vec![0u32; (a.len() + 1) * width];
    for (i, byte) in a.iter().enumerate() {
        for (j, other) in b.iter().enumerate() {
            lengths[(i + 1) * width + j + 1] = if byte == other {
                lengths[i * width + j] + 1
            } else {
                lengths[i * width + j + 1].max(lengths[(i + 1) * width + j])
            };
        }
    }
    let total = lengths[a.len() * width + b.len()];
    if options.length {
        return Value::count(total.into());
    }
    let (common, matches) = walk_back(a, b, &lengths);
    if options.ranges {
        return lcs_ranges(options, &matches, total);
    }
    Value::bulk(common)
}

/// From the end to the beginning, as Redis goes, so that among equals the same stretches are found.
fn walk_back(a: &[u8], b: &[u8], lengths: &[u32]) -> (Vec<u8>, Vec<Match>) {
    let width = b.len() + 1;
    let (mut i, mut j) = (a.len(), b.len());
    let (mut common, mut matches): (Vec<u8>, Vec<Match>) = (Vec::new(), Vec::new());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            common.push(a[i - 1]);
            match matches.last_mut() {
                Some(last) if last.first.start == i && last.second.start == j => {
                    last.first.start -= 1;
                    last.second.start -= 1;
                }
                _ => matches.push(Match {
                    first: i - 1..i,
                    second: j - 1..j,
                }),
            }
            i -= 1;
            j -= 1;
        } else if lengths[(i - 1) * width + j] > lengths[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    common.reverse();
    (common, matches)
}

fn lcs_ranges(options: &LcsOptions, matches: &[Match], total: u32) -> Value {
    let place = |range: &Range<usize>| {
        Value::Array(vec![
            Value::count(range.start as u64),
            Value::count(range.end as u64 - 1),
        ])
    };
    let shown = matches
        .iter()
        .filter(|found| found.first.len() >= options.range_min)
        .map(|found| {
            let mut parts = vec![place(&found.first), place(&found.second)];
            if options.with_lengths {
                parts.push(Value::count(found.first.len() as u64));
            }
            Value::Array(parts)
        })
        .collect();
    Value::Map(vec![
        (Value::bulk("matches"), Value::Array(shown)),
        (Value::bulk("len"), Value::count(total.into())),
    ])
}

#[cfg(test)]
mod tests {
    use super::sub_range;

    #[test]
    fn ranges_count_from_either_end() {
        for (start, end, expected) in [
            (0, -1, 0..5),
            (1, 3, 1..4),
            (-3, -1, 2..5),
            (-100, 1, 0..2),
            (3, 100, 3..5),
            (5, 9, 0..0),
            (3, 1, 0..0),
            (-1, -3, 0..0),
            (0, -100, 0..1),
            (i64::MIN, i64::MAX, 0..5),
        ] {
            assert_eq!(sub_range(5, start, end), expected, "{start} {end}");
        }
        assert_eq!(sub_range(0, 0, -1), 0..0);
    }
}
