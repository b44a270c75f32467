//! The task that keeps a connection to one follower: dials, carries messages, dials again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use kv_common::id::{Address, NodeId};
use kv_common::message::hello::Caller;
use kv_common::message::replication::FollowerToPrimary;
use kv_common::time::Now;
use kv_net::{Connection, DialError, Limits, LinkError, dial};
use kvnode_core::input::{Input, LinkId};
use kvnode_core::replica::Replica;
use tokio::time::sleep;

use super::Serving;
use super::follower_output::FollowerOutput;
use super::peer_input::{Found, PeerInput};

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
    let input = PeerInput::new(reader, input, frame_max_bytes);
    let input = serving.turn(|shard, now| {
        let link = shard.new_link();
        let input = Rc::new(FollowerInput::new(node, link, input));
        shard
            .followers
            .opened(Rc::clone(&input), Rc::clone(&output));
        shard.replica.handle(now, Input::FollowerUp { node, link });
        input
    });
    let ended = exchange(serving, &input, &output).await;
    let link = input.link;
    output.close();
    serving.turn(|shard, now| {
        shard.followers.closed(link);
        shard
            .replica
            .handle(now, Input::FollowerDown { node, link });
    });
    (input.answered.get(), ended)
}

async fn exchange(
    serving: &Serving,
    input: &FollowerInput,
    output: &FollowerOutput,
) -> Result<(), LinkError> {
    while !output.is_closed() {
        tokio::select! {
            readable = input.came.readable() => {
                readable?;
                serving.turn(|shard, now| input.hear(&mut shard.replica, now, output));
            }
            () = output.progress() => {}
        }
    }
    input.failure.take().map_or(Ok(()), Err)
}

/// What a follower says over one connection.
#[derive(Debug)]
pub(super) struct FollowerInput {
    pub(super) node: NodeId,
    pub(super) link: LinkId,
    came: PeerInput,
    answered: Cell<bool>,
    /// Why the connection was closed, for its task.
    failure: RefCell<Option<LinkError>>,
}

impl FollowerInput {
    fn new(node: NodeId, link: LinkId, came: PeerInput) -> Self {
        Self {
            node,
            link,
            came,
            answered: Cell::new(false),
            failure: RefCell::default(),
        }
    }

    /// Tells the core what came. Of a connection that is closed nothing is heard; one of no more use is closed.
    pub(super) fn hear(&self, replica: &mut Replica, now: Now, output: &FollowerOutput) {
        if output.is_closed() {
            return;
        }
        if let Err(error) = self.try_hear(replica, now) {
            self.failure.replace(Some(error));
            output.close();
        }
    }

    fn try_hear(&self, replica: &mut Replica, now: Now) -> Result<(), LinkError> {
        match self.came.read()? {
            Found::Some => {}
            Found::Nothing => return Ok(()),
            Found::End => return Err(LinkError::CutFrame),
        }
        let (node, link) = (self.node, self.link);
        while let Some(message) = self.came.take::<FollowerToPrimary>()? {
            self.answered.set(true);
            let input = Input::FollowerSays {
                node,
                link,
                message,
            };
            replica.handle(now, input);
        }
        Ok(())
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
