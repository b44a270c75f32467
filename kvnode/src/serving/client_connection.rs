//! The task of one client's connection: reads what is there, and gives every whole frame to the core
//! in one turn.

use std::iter;
use std::ops::ControlFlow;
use std::rc::Rc;

use bytes::BytesMut;
use kv_common::message::client::ClientToNode;
use kv_net::{LinkError, take_frame};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::Serving;
use super::client_output::ClientOutput;
use super::read_ahead::ReadAhead;
use super::shard::Shard;

/// How much is read at once, at least.
pub(super) const READ_BYTES: usize = 16 << 10;
/// Frames of one connection that one turn takes, so that replies and other connections come to
/// their right in between.
const FRAMES_PER_TURN: usize = 128;
/// A buffer that grew beyond this is not kept once it is empty.
const KEPT_BYTES: usize = 64 << 10;

/// Serves a client until it goes.
///
/// # Errors
/// When the connection breaks or what comes is no message.
pub(super) async fn serve(
    serving: &Serving,
    socket: TcpStream,
    mut input: BytesMut,
    frame_max_bytes: usize,
) -> Result<(), LinkError> {
    let (mut reader, writer) = socket.into_split();
    let output = Rc::new(ClientOutput::new(writer));
    let mut frames = Frames {
        input: &mut input,
        frame_max_bytes,
        ahead: ReadAhead::new(),
    };
    let served = exchange(serving, &mut reader, &mut frames, &output).await;
    output.close();
    served
}

/// The frames of a connection.
struct Frames<'a> {
    input: &'a mut BytesMut,
    frame_max_bytes: usize,
    ahead: ReadAhead<ClientToNode, LinkError>,
}

async fn exchange(
    serving: &Serving,
    reader: &mut OwnedReadHalf,
    frames: &mut Frames<'_>,
    output: &Rc<ClientOutput>,
) -> Result<(), LinkError> {
    while !output.is_closed() {
        if take_frames(serving, frames, output)?.is_continue() && output.takes_requests() {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            read = read_some(reader, frames.input), if output.takes_requests() => {
                if read? == 0 {
                    return if frames.input.is_empty() { Ok(()) } else { Err(LinkError::CutFrame) };
                }
            }
            () = output.progress() => {}
        }
    }
    Ok(())
}

/// One turn with the frames that are here. Goes on: there may be more.
fn take_frames(
    serving: &Serving,
    frames: &mut Frames<'_>,
    output: &Rc<ClientOutput>,
) -> Result<ControlFlow<()>, LinkError> {
    if frames.input.is_empty() && !frames.ahead.has_more() {
        return Ok(ControlFlow::Break(()));
    }
    serving.turn(|shard, now| {
        for _ in 0..FRAMES_PER_TURN {
            if !output.takes_requests() {
                break;
            }
            match frames.take(shard)? {
                Some(message) => shard.client_says(now, output, message),
                None => return Ok(ControlFlow::Break(())),
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

impl Frames<'_> {
    fn take(&mut self, shard: &Shard) -> Result<Option<ClientToNode>, LinkError> {
        let read = |input: &mut BytesMut| take_frame::<ClientToNode>(input, self.frame_max_bytes);
        self.ahead.take(self.input, read, |first, ahead| {
            let keys = iter::once(first).chain(ahead).filter_map(first_key);
            shard.replica.state().warm(keys);
        })
    }
}

fn first_key(message: &ClientToNode) -> Option<&[u8]> {
    match message {
        ClientToNode::Request { command, .. } => command.keys().next().map(|key| &**key),
        ClientToNode::Map { .. }
        | ClientToNode::Report { .. }
        | ClientToNode::Digest { .. }
        | ClientToNode::Dump { .. }
        | ClientToNode::Export { .. } => None,
    }
}

/// Reads what is there. May be dropped while it waits.
pub(super) async fn read_some(
    reader: &mut OwnedReadHalf,
    input: &mut BytesMut,
) -> Result<usize, LinkError> {
    make_room(input);
    Ok(reader.read_buf(input).await?)
}

/// Makes room for what is to be read.
pub(super) fn make_room(input: &mut BytesMut) {
    if input.is_empty() && input.capacity() > KEPT_BYTES {
        *input = BytesMut::new();
    }
    input.reserve(READ_BYTES);
}
