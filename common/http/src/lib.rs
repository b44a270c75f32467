//! What a daemon shows over HTTP: metrics for Prometheus, whether it is healthy and ready, and what else it
//! adds. All of it is served by a thread of its own from what the daemon's threads leave behind, so that
//! nobody who asks can hold the service up.
//!
//! | file | what it does |
//! |---|---|
//! | `server` | the thread, and how many connections it takes |
//! | `routes` | `/metrics`, `/healthz`, `/readyz` |
//! | `families` | metrics with names, help and labels, as text |
//! | `histogram` | latencies, counted without a lock |
//! | `process` | what the system says of this process |

mod families;
mod histogram;
mod process;
mod routes;
mod server;

pub use families::{Families, Labels, Unit};
pub use histogram::{Histogram, Reading};
pub use process::{machine_memory_bytes, process_families};
pub use routes::{Observed, routes};
pub use server::{HttpError, HttpServer};
