//! What the programs of this workspace have in common at their edge: the version that they name,
//! the configuration file, log lines, the clocks, signals, the service manager, and the sockets that it passes.

pub mod clock;
pub mod config_file;
pub mod documents;
pub mod logging;
mod open_files;
pub mod passed_sockets;
pub mod password_file;
pub mod reload;
pub mod service_manager;
pub mod signals;

pub use open_files::{open_files_max, raise_open_files};

/// The version and the commit that the program was built from.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("KV_COMMIT"), ")");
