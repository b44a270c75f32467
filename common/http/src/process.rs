//! What the system says of this process, under the names that all exporters use.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::system::sysinfo;
use rustix::time::{ClockId, clock_gettime};

use crate::families::{Families, Unit};

/// Where the fields of `/proc/self/stat` that are counted from the state on stand.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const START_TICKS: usize = 19;

/// Adds processor time, memory, open files and the time of the start. What the system does not say is left
/// out.
pub fn process_families(families: &mut Families) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before it may hold anything, spaces and brackets too.
    let after_name = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let fields: Vec<u64> = after_name
        .split(' ')
        .map(|field| field.trim().parse().unwrap_or(0))
        .collect();
    let ticks = |index: usize| {
        let ticks = fields.get(index).copied()?;
        Some(as_f64(ticks) / as_f64(clock_ticks_per_second()))
    };
    if let (Some(user), Some(system)) = (ticks(USER_TICKS), ticks(SYSTEM_TICKS)) {
        families.counter(
            "process_cpu",
            Unit::Seconds,
            "Processor time used. At one second a second per busy thread a node is at its limit: see which thread with top -H",
            user + system,
        );
    }
    if let Some(start) = ticks(START_TICKS) {
        let boot = clock_gettime(ClockId::Boottime);
        let now = clock_gettime(ClockId::Realtime);
        let booted_at = now.tv_sec - boot.tv_sec;
        families.gauge(
            "process_start_time",
            Unit::Seconds,
            "When the process started, since 1970. If it changes unasked, the service was restarted: read its log",
            as_f64(u64::try_from(booted_at).unwrap_or(0)) + start,
        );
    }
    let memory = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident_pages = memory
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    if let Some(pages) = resident_pages {
        families.gauge(
            "process_resident_memory",
            Unit::Bytes,
            "Memory in use. All data has to fit: well before it reaches the machine's, delete keys or move to larger machines",
            as_f64(pages * u64::try_from(page_size()).unwrap_or(0)),
        );
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        families.gauge(
            "process_open_fds",
            Unit::None,
            "Open files and sockets. Near the limit (LimitNOFILE of the unit) connections are refused",
            as_f64(open.count() as u64),
        );
    }
}

/// The memory of the machine.
#[must_use]
pub fn machine_memory_bytes() -> u64 {
    let info = sysinfo();
    // The kernel's own numbers; their type differs from machine to machine.
    #[allow(clippy::useless_conversion, reason = "the width is the platform's")]
    let total = u64::try_from(info.totalram).unwrap_or(0);
    total * u64::from(info.mem_unit)
}

/// Counts that a metric can show exactly up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "metrics are 64-bit floats")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::process_families;
    use crate::families::Families;

    #[test]
    fn this_process_uses_memory_and_started_in_this_century() {
        let mut families = Families::default();
        process_families(&mut families);
        let text = families.into_text();
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.rsplit_once(' ')).expect(name).1;
            value.parse::<f64>().expect("a number")
        };
        assert!(value("process_resident_memory_bytes ") > 1e5);
        assert!(value("process_start_time_seconds ") > 1e9);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
    }
}
