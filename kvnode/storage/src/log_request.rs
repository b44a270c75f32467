//! What is asked of the log thread, and which appends go into one write.

use std::collections::VecDeque;

use kv_common::batch::Batch;
use kv_common::id::{NodeId, Seq};
use kvnode_core::input::{LinkId, Ticket};

/// Batches that a follower lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogReadRequest {
    /// The follower; comes back.
    pub node: NodeId,
    /// The connection; comes back.
    pub link: LinkId,
    /// The first entry that it lacks.
    pub from: Seq,
    /// Stop after so many bytes; one batch at least.
    pub max_bytes: usize,
}

/// What is asked of the log thread. All of it is done in order.
pub(crate) enum Request {
    Append { batch: Batch, is_awaited: bool },
    Cut { after: Seq, ticket: Ticket },
    Read(LogReadRequest),
    Release,
    Stop,
}

impl Request {
    /// Whether somebody waits for it to be done.
    pub(crate) fn is_awaited(&self) -> bool {
        match self {
            Self::Append { is_awaited, .. } => *is_awaited,
            Self::Cut { .. } | Self::Read(_) | Self::Release | Self::Stop => true,
        }
    }
}

/// The appends that wait one behind the other, for one write and one flush.
pub(crate) fn gather(
    first: Batch,
    waiting: &mut VecDeque<Request>,
    bytes_max: usize,
) -> Vec<Batch> {
    let mut bytes = first.bytes().len();
    let mut group = vec![first];
    while bytes < bytes_max {
        match waiting.pop_front() {
            Some(Request::Append { batch, .. }) => {
                bytes += batch.bytes().len();
                group.push(batch);
            }
            Some(other) => {
                waiting.push_front(other);
                break;
            }
            None => break,
        }
    }
    group
}

pub(crate) fn group_bytes(group: &[Batch]) -> usize {
    group.iter().map(|batch| batch.bytes().len()).sum()
}
