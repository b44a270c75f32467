//! The connections that primaries opened to this node.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::BytesMut;
use kv_common::message::replication::{FollowerToPrimary, PrimaryToFollower};
use kv_common::time::Now;
use kv_common::view::PrimarySeat;
use kv_net::LinkError;
use kvnode_core::input::{Input, LinkId};
use kvnode_core::replica::Replica;
use tokio::net::TcpStream;

use super::Serving;
use super::outbox::Outbox;
use super::peer_input::{Found, PeerInput};
use super::piece::{PieceAssembly, PieceError};

/// The connections that primaries opened to this node: at most one for each seat.
#[derive(Debug, Default)]
pub(super) struct PrimaryLinks {
    open: BTreeMap<LinkId, OpenLink>,
    touched: Vec<Rc<Outbox>>,
}

#[derive(Debug)]
struct OpenLink {
    input: Rc<PrimaryInput>,
    output: Rc<Outbox>,
}

impl PrimaryLinks {
    /// Takes a new connection. Says which older one of the same seat it replaces; that one is
    /// closed.
    fn opened(&mut self, input: Rc<PrimaryInput>, output: Rc<Outbox>) -> Option<LinkId> {
        let older = self
            .open
            .iter()
            .find(|(_, open)| open.input.seat == input.seat)
            .map(|(link, _)| *link);
        if let Some(older) = older.and_then(|older| self.open.remove(&older)) {
            older.output.close();
        }
        self.open.insert(input.link, OpenLink { input, output });
        older
    }

    /// Forgets a connection. Says whether it was still known.
    fn closed(&mut self, link: LinkId) -> bool {
        self.open.remove(&link).is_some()
    }

    /// Tells the core what came, without waiting for the connections' tasks.
    pub(super) fn hear(&self, replica: &mut Replica, now: Now) {
        for OpenLink { input, output } in self.open.values() {
            input.hear(replica, now, output);
        }
    }

    /// Sends at the end of the turn; nowhere if the connection is gone.
    pub(super) fn send(&mut self, link: LinkId, message: &FollowerToPrimary) {
        if let Some(OpenLink { output, .. }) = self.open.get(&link) {
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
    let came = PeerInput::new(reader, input, frame_max_bytes);
    let input = serving.turn(|shard, now| {
        let input = Rc::new(PrimaryInput::new(seat, shard.new_link(), came));
        let older = shard
            .primaries
            .opened(Rc::clone(&input), Rc::clone(&output));
        if let Some(link) = older {
            shard.replica.handle(now, Input::PrimaryDown { link });
        }
        // With the hello something may have come already.
        input.tell(&mut shard.replica, now, &output);
        input
    });
    let ended = exchange(serving, &input, &output).await;
    output.close();
    let link = input.link;
    serving.turn(|shard, now| {
        if shard.primaries.closed(link) {
            shard.replica.handle(now, Input::PrimaryDown { link });
        }
    });
    ended
}

async fn exchange(
    serving: &Serving,
    input: &PrimaryInput,
    output: &Outbox,
) -> Result<(), PrimaryLinkError> {
    while !output.is_closed() {
        tokio::select! {
            readable = input.came.readable() => {
                readable.map_err(LinkError::from)?;
                serving.turn(|shard, now| input.hear(&mut shard.replica, now, output));
            }
            _ = output.progress() => {}
        }
    }
    input.failure.take().map_or(Ok(()), Err)
}

/// What a primary says over one connection.
#[derive(Debug)]
struct PrimaryInput {
    seat: PrimarySeat,
    link: LinkId,
    came: PeerInput,
    pieces: RefCell<PieceAssembly>,
    /// Why the connection was closed, for its task.
    failure: RefCell<Option<PrimaryLinkError>>,
}

impl PrimaryInput {
    fn new(seat: PrimarySeat, link: LinkId, came: PeerInput) -> Self {
        Self {
            seat,
            link,
            came,
            pieces: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// Tells the core what came. Of a connection that is closed nothing is heard; one that ended is closed.
    fn hear(&self, replica: &mut Replica, now: Now, output: &Outbox) {
        if output.is_closed() {
            return;
        }
        match self.came.read() {
            Ok(Found::Some) => self.tell(replica, now, output),
            Ok(Found::Nothing) => {}
            Ok(Found::End) => output.close(),
            Err(error) => self.fail(LinkError::from(error).into(), output),
        }
    }

    /// Tells the core what was read.
    fn tell(&self, replica: &mut Replica, now: Now, output: &Outbox) {
        if let Err(error) = self.try_tell(replica, now, output) {
            self.fail(error, output);
        }
    }

    fn fail(&self, error: PrimaryLinkError, output: &Outbox) {
        self.failure.replace(Some(error));
        output.close();
    }

    fn try_tell(
        &self,
        replica: &mut Replica,
        now: Now,
        output: &Outbox,
    ) -> Result<(), PrimaryLinkError> {
        let (seat, link) = (self.seat, self.link);
        while let Some(message) = self.came.take::<PrimaryToFollower>()? {
            if output.is_closed() {
                // Replaced by a newer connection: what it still says is not to be heard.
                return Ok(());
            }
            if let Some(message) = self.pieces.borrow_mut().take(message)? {
                let input = Input::PrimarySays {
                    link,
                    seat,
                    message,
                };
                replica.handle(now, input);
            }
        }
        Ok(())
    }
}
