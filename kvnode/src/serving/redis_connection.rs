//! The Redis door: takes connections, and gives every whole request of one to the core in one turn.

use std::iter;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use kv_daemon::clock;
use kv_net::{LinkError, prepare_socket};
use kv_resp::{ProtocolError, RequestReader, Taken, Value};
use kvnode_redis::{Connection, ConnectionInfo, LIMITS};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::Serving;
use super::client_connection::read_some;
use super::read_ahead::ReadAhead;
use super::redis_client::RedisClient;
use super::shard::Shard;

/// Requests of one connection that one turn takes.
const REQUESTS_PER_TURN: usize = 128;
/// What all Redis clients together may have sent of requests that are not whole yet, or that wait in
/// transactions.
const PARTIAL_MAX_BYTES: u64 = 1 << 30;
/// Parts of requests below this do not count, so that short ones cost nothing.
const PARTIAL_FROM_BYTES: usize = 64 << 10;
/// What is read of a client whose requests are not looked at at this moment: enough to notice that it is gone.
const READ_AHEAD_BYTES: usize = 16 << 10;
/// After a failure that will not have passed at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections for as long as the task lives.
pub(super) async fn listen(serving: Rc<Serving>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                tokio::task::spawn_local(serve(Rc::clone(&serving), socket));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(serving: Rc<Serving>, socket: TcpStream) {
    if let Err(error) = prepare_socket(&socket) {
        tracing::debug!(%error, "a Redis connection cannot be set up");
        return;
    }
    let text = |address: std::io::Result<std::net::SocketAddr>| {
        address.map_or_else(|_| "unknown:0".to_owned(), |address| address.to_string())
    };
    let (peer, local) = (text(socket.peer_addr()), text(socket.local_addr()));
    if serving.shard.borrow().redis.count() as u64 >= serving.connection_limits.redis {
        let refusal = b"-ERR max number of clients reached\r\n";
        // Best effort: who is one too many is turned away either way.
        let _ = socket.try_write(refusal);
        return;
    }
    let info = ConnectionInfo {
        id: serving.shard.borrow_mut().redis.next_id(),
        peer: peer.clone(),
        local,
        since: clock::now().unix,
    };
    let id = info.id;
    let (mut reader, writer) = socket.into_split();
    let waiting = serving.shard.borrow().redis.waiting_bytes();
    let client = Rc::new(RedisClient::new(writer, Connection::new(info), waiting));
    serving.shard.borrow_mut().redis.add(id, &client);
    let mut exchange = Exchange {
        serving: &serving,
        client: &client,
        requests: RequestReader::new(LIMITS),
        ahead: ReadAhead::new(),
        input: BytesMut::new(),
        counted_bytes: 0,
        has_ended: false,
    };
    let served = exchange.run(&mut reader).await;
    exchange.count_input(0);
    client.close();
    serving.shard.borrow_mut().redis.remove(id);
    if let Err(error) = served {
        tracing::debug!(peer, %error, "a Redis connection ended");
    }
}

/// A connection while it lasts.
struct Exchange<'a> {
    serving: &'a Serving,
    client: &'a Rc<RedisClient>,
    requests: RequestReader,
    ahead: ReadAhead<Taken, ProtocolError>,
    input: BytesMut,
    /// What of the input stands in the count of all connections.
    counted_bytes: u64,
    /// The client sends nothing more.
    has_ended: bool,
}

impl Exchange<'_> {
    async fn run(&mut self, reader: &mut OwnedReadHalf) -> Result<(), LinkError> {
        while !self.client.is_closed() {
            if self.take_requests().is_continue() && self.client.takes_requests() {
                tokio::task::yield_now().await;
                continue;
            }
            if self.has_ended && self.client.takes_requests() {
                self.client.end();
            }
            let sleeps = self.client.sleeps_until();
            let left = sleeps.map(|until| until.since(clock::monotonic()));
            tokio::select! {
                read = read_some(reader, &mut self.input), if self.reads() => {
                    if read? > 0 {
                        self.check_input();
                    } else if self.client.is_held() {
                        return Ok(());
                    } else {
                        // What it asked for is answered still.
                        self.has_ended = true;
                    }
                }
                () = self.client.progress() => {}
                () = sleep(left.unwrap_or_default()), if left.is_some() => self.wake_up(),
            }
        }
        Ok(())
    }

    fn reads(&self) -> bool {
        let reads_ahead = || !self.client.is_closing() && self.input.len() < READ_AHEAD_BYTES;
        !self.has_ended && (self.client.takes_requests() || reads_ahead())
    }

    fn wake_up(&self) {
        if let Some(slot) = self.client.wake_up() {
            self.serving
                .turn(|shard, _| shard.put_redis(self.client, slot, Value::OK));
        }
    }

    /// One turn with the requests that are here. Goes on: there may be more.
    fn take_requests(&mut self) -> ControlFlow<()> {
        if (self.input.is_empty() && !self.ahead.has_more()) || !self.client.takes_requests() {
            return ControlFlow::Break(());
        }
        self.serving.turn(|shard, now| {
            for _ in 0..REQUESTS_PER_TURN {
                if !self.client.takes_requests() {
                    break;
                }
                match self.take_request(shard) {
                    Ok(Some(Taken::Request(arguments))) => {
                        shard.redis_says(now, self.client, arguments);
                    }
                    Ok(Some(Taken::Nothing)) => {}
                    Ok(None) => return ControlFlow::Break(()),
                    Err(error) => {
                        shard.answer_redis(self.client, Value::error(format!("ERR {error}")));
                        self.client.close_when_sent();
                        return ControlFlow::Break(());
                    }
                }
            }
            ControlFlow::Continue(())
        })
    }

    fn take_request(&mut self, shard: &Shard) -> Result<Option<Taken>, ProtocolError> {
        let server = &shard.redis.server;
        let needs_password = self.client.connection.borrow().needs_password(server);
        self.requests.restrict(needs_password);
        if needs_password && !self.ahead.has_more() {
            // What comes behind the password has other limits.
            return self.requests.take(&mut self.input);
        }
        let read = |input: &mut BytesMut| self.requests.take(input);
        self.ahead.take(&mut self.input, read, |first, ahead| {
            let keys = iter::once(first).chain(ahead).filter_map(likely_key);
            shard.replica.state().warm(keys);
        })
    }

    /// Requests that are never finished cost a bounded amount, whoever sends them.
    fn check_input(&mut self) {
        let waiting = self.client.connection.borrow().held_bytes();
        let length = self.input.len() + self.requests.held_bytes() + waiting;
        self.count_input(if length < PARTIAL_FROM_BYTES {
            0
        } else {
            length as u64
        });
        if self.serving.partial_bytes.get() > PARTIAL_MAX_BYTES {
            tracing::warn!("too many large requests are under way; a Redis connection is closed");
            self.client.close();
        }
    }

    fn count_input(&mut self, bytes: u64) {
        let others = self.serving.partial_bytes.get() - self.counted_bytes;
        self.serving.partial_bytes.set(others + bytes);
        self.counted_bytes = bytes;
    }
}

/// What a request is, is not looked at before its turn. Of most commands the second word is the key.
fn likely_key(taken: &Taken) -> Option<&[u8]> {
    match taken {
        Taken::Request(words) => words.get(1).map(|word| &**word),
        Taken::Nothing => None,
    }
}
