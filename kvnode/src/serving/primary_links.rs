//! The connections that primaries opened to this node.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::BytesMut;
use kv_common::message::replication::{FollowerToPrimary, PrimaryToFollower};
use kv_common::view::PrimarySeat;
use kv_net::{LinkError, take_frame};
use kvnode_core::input::{Input, LinkId};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::Serving;
use super::client_connection::read_some;
use super::outbox::Outbox;
use super::piece::{PieceAssembly, PieceError};

/// The connections that primaries opened to this node: at most one for each seat.
#[derive(Debug, Default)]
pub(super) struct PrimaryLinks {
    open: BTreeMap<LinkId, (PrimarySeat, Rc<Outbox>)>,
    touched: Vec<Rc<Outbox>>,
}

impl PrimaryLinks {
    /// Takes a new connection. Says which older one of the same seat it replaces; that one is
    /// closed.
    fn opened(&mut self, link: LinkId, seat: PrimarySeat, output: Rc<Outbox>) -> Option<LinkId> {
        let older = self
            .open
            .iter()
            .find(|(_, (theirs, _))| *theirs == seat)
            .map(|(link, _)| *link);
        if let Some((_, output)) = older.and_then(|older| self.open.remove(&older)) {
            output.close();
        }
        self.open.insert(link, (seat, output));
        older
    }

    /// Forgets a connection. Says whether it was still known.
    fn closed(&mut self, link: LinkId) -> bool {
        self.open.remove(&link).is_some()
    }

    /// Sends at the end of the turn; nowhere if the connection is gone.
    pub(super) fn send(&mut self, link: LinkId, message: &FollowerToPrimary) {
        if let Some((_, output)) = self.open.get(&link) {
            output.put(message);
            if output.touch() {
                self.touched.push(Rc::clone(output));
            }
        }
    }

    pub(super) fn flush(&mut self) {
        for output in self.touched.drain(..) {
            output.flush();
        }
    }
}

/// Why a primary's connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrimaryLinkError {
    /// It broke, or what came is no message.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Pieces do not make a batch.
    #[error(transparent)]
    Piece(#[from] PieceError),
}

/// Serves a primary until it goes.
///
/// # Errors
/// When the connection breaks or what comes makes no sense.
pub(super) async fn serve(
    serving: &Serving,
    seat: PrimarySeat,
    socket: TcpStream,
    input: BytesMut,
    frame_max_bytes: usize,
) -> Result<(), PrimaryLinkError> {
    let (reader, writer) = socket.into_split();
    let output = Rc::new(Outbox::new(writer, frame_max_bytes));
    let link = serving.turn(|shard, now| {
        let link = shard.new_link();
        if let Some(older) = shard.primaries.opened(link, seat, Rc::clone(&output)) {
            shard
                .replica
                .handle(now, Input::PrimaryDown { link: older });
        }
        link
    });
    let session = Session {
        seat,
        link,
        reader,
        input,
        frame_max_bytes,
        pieces: PieceAssembly::default(),
    };
    let ended = session.run(serving, &output).await;
    output.close();
    serving.turn(|shard, now| {
        if shard.primaries.closed(link) {
            shard.replica.handle(now, Input::PrimaryDown { link });
        }
    });
    ended
}

struct Session {
    seat: PrimarySeat,
    link: LinkId,
    reader: OwnedReadHalf,
    input: BytesMut,
    frame_max_bytes: usize,
    pieces: PieceAssembly,
}

impl Session {
    async fn run(mut self, serving: &Serving, output: &Outbox) -> Result<(), PrimaryLinkError> {
        while !output.is_closed() {
            if !self.input.is_empty() {
                self.take_frames(serving, output)?;
            }
            tokio::select! {
                read = read_some(&mut self.reader, &mut self.input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                _ = output.progress() => {}
            }
        }
        Ok(())
    }

    fn take_frames(&mut self, serving: &Serving, output: &Outbox) -> Result<(), PrimaryLinkError> {
        let (seat, link) = (self.seat, self.link);
        serving.turn(|shard, now| {
            while let Some(message) =
                take_frame::<PrimaryToFollower>(&mut self.input, self.frame_max_bytes)?
            {
                if output.is_closed() {
                    // Replaced by a newer connection: what it still says is not to be heard.
                    return Ok(());
                }
                if let Some(message) = self.pieces.take(message)? {
                    let input = Input::PrimarySays {
                        link,
                        seat,
                        message,
                    };
                    shard.replica.handle(now, input);
                }
            }
            Ok(())
        })
    }
}
