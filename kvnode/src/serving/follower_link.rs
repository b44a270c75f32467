//! The task that keeps a connection to one follower: dials, carries messages, dials again.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use kv_common::id::{Address, NodeId};
use kv_common::message::hello::Caller;
use kv_common::message::replication::FollowerToPrimary;
use kv_net::{Connection, DialError, Limits, LinkError, dial, take_frame};
use kvnode_core::input::{Input, LinkId};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::sleep;

use super::Serving;
use super::client_connection::read_some;
use super::follower_output::FollowerOutput;

const BACK_OFF_MIN: Duration = Duration::from_millis(5);
const BACK_OFF_MAX: Duration = Duration::from_millis(100);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum FollowerAway {
    #[error("no address of it is known")]
    NoAddress,
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("another node answers at {address}")]
    WrongNode { address: Address },
}

/// Keeps a connection to `node` until the task is aborted.
pub(super) async fn keep(serving: Rc<Serving>, node: NodeId) {
    let mut back_off = BACK_OFF_MIN;
    let mut said = false;
    loop {
        match open(&serving, node).await {
            Ok(connection) => {
                tracing::info!("connected to follower {}", serving.name_of(node));
                said = false;
                let (answered, ended) = serve(&serving, node, connection).await;
                if let Err(error) = ended {
                    tracing::warn!(%error, "lost follower {}", serving.name_of(node));
                }
                if answered {
                    back_off = BACK_OFF_MIN;
                }
            }
            Err(error) => {
                if !said {
                    tracing::warn!(%error, "cannot reach follower {}", serving.name_of(node));
                }
                said = true;
            }
        }
        sleep(back_off).await;
        back_off = BACK_OFF_MAX.min(back_off * 2);
    }
}

async fn open(serving: &Serving, node: NodeId) -> Result<Connection, FollowerAway> {
    let address = serving.address_of(node).ok_or(FollowerAway::NoAddress)?;
    let hello = serving.hello(Caller::Primary {
        node: serving.seat.node,
        incarnation: serving.seat.incarnation,
    });
    let (connection, accepted) = dial(&address, &hello, Limits::peer()).await?;
    if accepted.node != Some(node) {
        return Err(FollowerAway::WrongNode { address });
    }
    Ok(connection)
}

/// Carries messages until the connection breaks. Says whether the follower answered at all.
async fn serve(
    serving: &Serving,
    node: NodeId,
    connection: Connection,
) -> (bool, Result<(), LinkError>) {
    let (socket, input, frame_max_bytes) = connection.into_parts();
    let (reader, writer) = socket.into_split();
    let output = Rc::new(FollowerOutput::new(writer, frame_max_bytes));
    let link = serving.turn(|shard, now| {
        let link = shard.new_link();
        shard.followers.opened(link, node, Rc::clone(&output));
        shard.replica.handle(now, Input::FollowerUp { node, link });
        link
    });
    let mut session = Session {
        node,
        link,
        reader,
        input,
        frame_max_bytes,
        answered: false,
    };
    let ended = session.run(serving, &output).await;
    output.close();
    serving.turn(|shard, now| {
        shard.followers.closed(link);
        shard
            .replica
            .handle(now, Input::FollowerDown { node, link });
    });
    (session.answered, ended)
}

struct Session {
    node: NodeId,
    link: LinkId,
    reader: OwnedReadHalf,
    input: BytesMut,
    frame_max_bytes: usize,
    answered: bool,
}

impl Session {
    async fn run(&mut self, serving: &Serving, output: &FollowerOutput) -> Result<(), LinkError> {
        while !output.is_closed() {
            tokio::select! {
                read = read_some(&mut self.reader, &mut self.input) => {
                    if read? == 0 {
                        return Err(LinkError::CutFrame);
                    }
                    self.take_frames(serving)?;
                }
                () = output.progress() => {}
            }
        }
        Ok(())
    }

    fn take_frames(&mut self, serving: &Serving) -> Result<(), LinkError> {
        let (node, link) = (self.node, self.link);
        serving.turn(|shard, now| {
            while let Some(message) =
                take_frame::<FollowerToPrimary>(&mut self.input, self.frame_max_bytes)?
            {
                self.answered = true;
                let input = Input::FollowerSays {
                    node,
                    link,
                    message,
                };
                shard.replica.handle(now, input);
            }
            Ok(())
        })
    }
}

impl Serving {
    fn address_of(&self, node: NodeId) -> Option<Address> {
        let shard = self.shard.borrow();
        let info = shard.replica.map()?.nodes.get(&node)?;
        Some(info.address.clone())
    }

    /// What people call `node`.
    pub(super) fn name_of(&self, node: NodeId) -> String {
        let shard = self.shard.borrow();
        let map = shard.replica.map();
        map.map_or_else(|| node.to_string(), |map| map.name_of(node))
    }
}
