//! What goes to one follower. A batch that is larger than a frame goes in pieces; beats go past the
//! pieces, so that a large value does not cost the lease.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use kv_common::limits::{BATCH_MAX_BYTES, PIECE_BYTES};
use kv_common::message::replication::PrimaryToFollower;
use tokio::net::tcp::OwnedWriteHalf;

use super::outbox::Outbox;
use super::piece::PieceCutter;

/// Encoded bytes beyond which a message waits.
const BUFFER_TARGET_BYTES: usize = 2 * PIECE_BYTES;
/// A follower that lets more than this wait is cut off; it is caught up from the log when it is
/// back.
const WAITING_MAX_BYTES: usize = 2 * BATCH_MAX_BYTES;

/// What goes to one follower.
#[derive(Debug)]
pub(super) struct FollowerOutput {
    outbox: Outbox,
    waiting: RefCell<VecDeque<Waiting>>,
    waiting_bytes: Cell<usize>,
}

#[derive(Debug)]
enum Waiting {
    Whole(PrimaryToFollower),
    InPieces(PieceCutter),
}

impl FollowerOutput {
    pub(super) fn new(socket: OwnedWriteHalf, frame_max_bytes: usize) -> Self {
        Self {
            outbox: Outbox::new(socket, frame_max_bytes),
            waiting: RefCell::new(VecDeque::new()),
            waiting_bytes: Cell::new(0),
        }
    }

    /// Puts a message behind those that wait. Says whether this is the first since the last flush.
    pub(super) fn put(&self, message: PrimaryToFollower) -> bool {
        let may_pass = matches!(message, PrimaryToFollower::Beat { .. }) && !self.a_match_waits();
        let fits = self.waiting.borrow().is_empty()
            && self.outbox.buffered_bytes() < BUFFER_TARGET_BYTES
            && batch_bytes(&message) <= PIECE_BYTES;
        if may_pass || fits {
            self.outbox.put(&message);
        } else {
            self.wait(message);
        }
        self.outbox.touch()
    }

    fn wait(&self, message: PrimaryToFollower) {
        let bytes = batch_bytes(&message);
        self.waiting_bytes.set(self.waiting_bytes.get() + bytes);
        if self.waiting_bytes.get() > WAITING_MAX_BYTES {
            tracing::warn!("a follower takes too little; its connection is closed");
            return self.close();
        }
        let waiting = match message {
            PrimaryToFollower::Append { stamp, batch } if bytes > PIECE_BYTES => {
                Waiting::InPieces(PieceCutter::new(stamp, batch))
            }
            other => Waiting::Whole(other),
        };
        self.waiting.borrow_mut().push_back(waiting);
    }

    /// A beat of a new epoch must not come before that epoch's match.
    fn a_match_waits(&self) -> bool {
        let is_match =
            |waiting: &Waiting| matches!(waiting, Waiting::Whole(PrimaryToFollower::Match { .. }));
        self.waiting.borrow().iter().any(is_match)
    }

    /// Writes what the kernel takes at once.
    pub(super) fn flush(&self) {
        loop {
            let refilled = self.refill();
            self.outbox.flush();
            if !refilled || self.outbox.buffered_bytes() > 0 {
                return;
            }
        }
    }

    /// Encodes what waited. Says whether there was anything.
    fn refill(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let mut refilled = false;
        while self.outbox.buffered_bytes() < BUFFER_TARGET_BYTES {
            let message = match waiting.front_mut() {
                None => break,
                Some(Waiting::InPieces(cutter)) => cutter.next(),
                Some(Waiting::Whole(_)) => None,
            };
            if let Some(piece) = message {
                self.sent(batch_bytes(&piece));
                self.outbox.put(&piece);
            } else if let Some(Waiting::Whole(message)) = waiting.pop_front() {
                self.sent(batch_bytes(&message));
                self.outbox.put(&message);
            }
            refilled = true;
        }
        refilled
    }

    fn sent(&self, bytes: usize) {
        self.waiting_bytes
            .set(self.waiting_bytes.get().saturating_sub(bytes));
    }

    pub(super) fn is_closed(&self) -> bool {
        self.outbox.is_closed()
    }

    pub(super) fn close(&self) {
        self.outbox.close();
        self.waiting.borrow_mut().clear();
    }

    /// As [`Outbox::progress`].
    pub(super) async fn progress(&self) {
        if self.outbox.progress().await {
            self.flush();
        }
    }
}

/// What a message carries of a batch.
fn batch_bytes(message: &PrimaryToFollower) -> usize {
    match message {
        PrimaryToFollower::Append { batch, .. } => batch.len(),
        PrimaryToFollower::AppendPiece { bytes, .. } => bytes.len(),
        PrimaryToFollower::Match { .. } | PrimaryToFollower::Beat { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::FollowerOutput;
    use crate::serving::piece::PieceAssembly;
    use bytes::{Bytes, BytesMut};
    use kv_common::id::{Epoch, Seq, ShardId};
    use kv_common::limits::PIECE_BYTES;
    use kv_common::message::replication::{PrimaryStamp, PrimaryToFollower};
    use kv_common::time::Monotonic;
    use kv_net::{Limits, take_frame};
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    fn stamp(sent_at: u64) -> PrimaryStamp {
        PrimaryStamp {
            shard: ShardId(0),
            epoch: Epoch(1),
            sent_at: Monotonic(sent_at),
            committed: Seq(0),
            assured: Seq(0),
        }
    }

    fn append(sent_at: u64, length: usize) -> PrimaryToFollower {
        PrimaryToFollower::Append {
            stamp: stamp(sent_at),
            batch: Bytes::from(vec![7; length]),
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn beats_pass_a_large_batch_and_nothing_else_does() {
        const LARGE: usize = 20 * PIECE_BYTES;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("bound");
        let socket = TcpStream::connect(address).await.expect("connects");
        let (mut other_side, _) = listener.accept().await.expect("accepts");
        let max = Limits::peer().frame_max_bytes;
        let (_reader, writer) = socket.into_split();
        let output = FollowerOutput::new(writer, max);
        let beat = PrimaryToFollower::Beat { stamp: stamp(3) };
        assert!(output.put(append(1, LARGE)));
        assert!(!output.put(append(2, 10)), "touched already");
        output.flush();
        output.put(beat.clone());

        let receive = async {
            let mut input = BytesMut::new();
            let mut assembly = PieceAssembly::default();
            let mut came = Vec::new();
            while came.len() < 3 {
                other_side.read_buf(&mut input).await.expect("reads");
                while let Some(message) = take_frame(&mut input, max).expect("is a message") {
                    came.extend(assembly.take(message).expect("fits"));
                }
            }
            came
        };
        let send = async {
            loop {
                output.progress().await;
            }
        };
        let came = tokio::select! {
            came = receive => came,
            () = send => unreachable!("it has no end"),
        };
        assert_eq!(came, [beat, append(1, LARGE), append(2, 10)]);
    }
}
