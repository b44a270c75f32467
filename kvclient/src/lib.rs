//! The client of the store: finds the primary, sends it commands, and asks again, safely, when that
//! is needed.
//!
//! A [`Client`] learns from a coordinator who is primary and hears of each change at once. While no
//! coordinator is there, it asks the nodes that it knows. Writes are numbered in a session, so that
//! one whose answer was lost is sent again and takes effect once. When neither its success nor its
//! failure could be learnt before the deadline, the error is [`ClientError::OutcomeUnknown`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use kvclient::{Client, ClientOptions};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::connect(ClientOptions {
//!         coordinators: vec!["127.0.0.1:7100".parse()?],
//!         timeout: Duration::from_secs(5),
//!         ..ClientOptions::default()
//!     })?;
//!     client.put("greeting", "hello").await?;
//!     assert_eq!(client.get("greeting").await?.as_deref(), Some(&b"hello"[..]));
//!
//!     // Many at once go over one connection, and their answers come in any order.
//!     let (one, two) = tokio::join!(client.incr("one", 1), client.incr("two", 2));
//!     println!("{} and {}", one?, two?);
//!
//!     client.close().await;
//!     Ok(())
//! }
//! ```

mod client;
mod cluster;
mod connection;
mod driver;
mod error;
mod exchange;
mod export;
pub mod load;
mod options;
mod scan;
mod watch;

pub use client::Client;
pub use cluster::{CopyDigest, DigestReport, PrimaryLocation, StatusReport, StatusSource};
pub use error::ClientError;
pub use export::Export;
pub use options::{ClientOptions, PutOptions};
pub use scan::Scan;
