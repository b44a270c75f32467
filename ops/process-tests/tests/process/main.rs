//! What a user would see: the real programs, killed, paused, restarted and fed with nonsense.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod backups;
mod bad_input;
mod chaos;
mod commands;
mod configuration;
mod crashes;
mod crowd;
mod data;
mod disk_trouble;
mod drain;
mod kill_rounds;
mod menu;
mod metrics;
mod page;
mod redis_bad_input;
mod redis_clients;
mod redis_commands;
mod redis_difference;
mod redis_import;
mod redis_notifications;
mod redis_passwords;
mod redis_roles;
mod redis_transactions;
mod restarts;
mod rounds;
mod service_manager;
mod starting;
mod stops;
mod switchover;
mod ways_out;
