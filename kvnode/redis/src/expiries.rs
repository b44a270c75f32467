//! Commands on when keys go.

use kv_common::command::{Command, Expiry};
use kv_common::edit::{Edit, ExpiryCondition};
use kv_common::time::UnixMs;

use crate::call::Call;
use crate::fault::{Fault, shown};
use crate::plan::Plan;
use crate::shape::Shape;

/// What a number that says a time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeUnit {
    ms: i64,
    is_absolute: bool,
}

impl TimeUnit {
    pub(crate) const SECONDS: Self = Self {
        ms: 1000,
        is_absolute: false,
    };
    pub(crate) const MILLISECONDS: Self = Self {
        ms: 1,
        is_absolute: false,
    };

    pub(crate) const fn absolute(self) -> Self {
        Self {
            is_absolute: true,
            ..self
        }
    }
}

/// The time that an argument says. One in the past is a time as well.
pub(crate) fn expiry(call: &Call<'_>, index: usize, unit: TimeUnit) -> Result<Expiry, Fault> {
    let fault = || Fault::expiry(call.name());
    let ms = call
        .integer(index)?
        .checked_mul(unit.ms)
        .ok_or_else(fault)?;
    if !unit.is_absolute {
        let now = i64::try_from(call.host.now().0).map_err(|_| fault())?;
        now.checked_add(ms).ok_or_else(fault)?;
    }
    Ok(match u64::try_from(ms) {
        Ok(ms) if unit.is_absolute => Expiry::At(UnixMs(ms)),
        Ok(ms) => Expiry::AfterMs(ms),
        Err(_) => Expiry::At(UnixMs(0)),
    })
}

pub(crate) fn expire(call: &mut Call<'_>) -> Result<Plan, Fault> {
    expire_in(call, TimeUnit::SECONDS)
}

pub(crate) fn expire_ms(call: &mut Call<'_>) -> Result<Plan, Fault> {
    expire_in(call, TimeUnit::MILLISECONDS)
}

pub(crate) fn expire_at(call: &mut Call<'_>) -> Result<Plan, Fault> {
    expire_in(call, TimeUnit::SECONDS.absolute())
}

pub(crate) fn expire_at_ms(call: &mut Call<'_>) -> Result<Plan, Fault> {
    expire_in(call, TimeUnit::MILLISECONDS.absolute())
}

fn expire_in(call: &Call<'_>, unit: TimeUnit) -> Result<Plan, Fault> {
    let condition = condition(call)?;
    let expiry = expiry(call, 2, unit)?;
    let edit = Edit::Expire { expiry, condition };
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Edit { key, edit }, Shape::Plain))
}

fn condition(call: &Call<'_>) -> Result<ExpiryCondition, Fault> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for index in 3..call.count() {
        match call.word(index).as_str() {
            "NX" => nx = true,
            "XX" => xx = true,
            "GT" => gt = true,
            "LT" => lt = true,
            _ => {
                let option = shown(&call.bytes(index)?);
                return Err(Fault::with(format!("ERR Unsupported option {option}")));
            }
        }
    }
    if nx && (xx || gt || lt) {
        return Err(Fault::text(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if gt && lt {
        return Err(Fault::text(
            "ERR GT and LT options at the same time are not compatible",
        ));
    }
    Ok(match (nx, xx, gt, lt) {
        (true, ..) => ExpiryCondition::IfNone,
        (_, _, true, _) => ExpiryCondition::IfLater,
        (_, true, _, true) => ExpiryCondition::IfSomeAndEarlier,
        (_, _, _, true) => ExpiryCondition::IfEarlier,
        (_, true, ..) => ExpiryCondition::IfSome,
        _ => ExpiryCondition::Always,
    })
}

pub(crate) fn persist(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Persist { key }, Shape::Plain))
}

pub(crate) fn ttl(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Ttl { key }, Shape::TtlSeconds))
}

pub(crate) fn ttl_ms(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::Ttl { key }, Shape::TtlMs))
}

pub(crate) fn expiry_time(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(
        Command::ExpiresAt { key },
        Shape::ExpiresAtSeconds,
    ))
}

pub(crate) fn expiry_time_ms(call: &mut Call<'_>) -> Result<Plan, Fault> {
    let key = call.bytes(1)?;
    Ok(Plan::Ask(Command::ExpiresAt { key }, Shape::ExpiresAtMs))
}
