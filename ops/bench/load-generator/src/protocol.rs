//! What is spoken with whom.

use clap::ValueEnum;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// RESP, with Redis or with this store's Redis door
    Redis,
    /// This store's own, by its client library
    Native,
    /// gRPC, with etcd
    Etcd,
}
