//! What Redis commands do to the node beside the key space, by themselves or in a transaction.

use std::rc::Rc;

use bytes::Bytes;
use kv_common::time::Monotonic;
use kv_daemon::clock;
use kv_resp::Value;
use kvnode_core::input::Input;
use kvnode_redis::{Action, Answered, Host, Piece, Victims, copies};

use super::redis_client::RedisClient;
use super::redis_host::RedisHost;
use super::shard::Shard;

impl Shard {
    /// Does it, and says what the client is told.
    pub(super) fn act(&mut self, client: &Rc<RedisClient>, action: &Action) -> Value {
        match action {
            Action::Publish { channel, payload } => {
                Value::count(self.redis.publish(channel, payload))
            }
            Action::Kill(victims) => killed(victims, self.redis.kill(client, victims)),
            Action::SaveInBackground { in_transaction } => match self.dump_for_redis(None) {
                Ok(()) if *in_transaction => Value::Status("Background saving scheduled".into()),
                Ok(()) => Value::Status("Background saving started".into()),
                Err(refusal) => Value::error(format!("ERR {refusal}")),
            },
            Action::CountCopies { on_disk } => {
                let facts = RedisHost::new(self, clock::now()).facts();
                copies(&facts, *on_disk)
            }
            Action::Configure(settings) => {
                self.redis.server.configure(settings);
                let tells = self.redis.server.settings.notifications.are_on();
                let input = Input::TellKeyEvents(tells);
                self.replica.handle(clock::now(), input);
                Value::OK
            }
            Action::ForgetSlow => {
                self.redis.server.forget_slow();
                Value::OK
            }
        }
    }

    /// The transaction is done, and what it does to the node comes after it.
    pub(super) fn act_for_pieces(&mut self, client: &Rc<RedisClient>, pieces: &mut [Piece]) {
        for piece in pieces {
            if let Piece::Act(action) = piece {
                *piece = Piece::Answered(self.act(client, action));
            }
        }
    }

    /// A request is answered: it is remembered if that took long.
    pub(super) fn note_if_slow(
        &mut self,
        client: &RedisClient,
        arguments: &[Bytes],
        began: Monotonic,
        ended: Monotonic,
    ) {
        let micros = u64::try_from(ended.since(began).as_micros()).unwrap_or(u64::MAX);
        let server = &mut self.redis.server;
        if !server.settings.is_slow(micros) {
            return;
        }
        let connection = client.connection.borrow();
        let answered = Answered {
            arguments,
            micros,
            at: clock::now().unix,
            peer: connection.peer(),
            name: connection.name(),
        };
        server.slow_log.note(&server.settings, &answered);
    }
}

fn killed(victims: &Victims, count: u64) -> Value {
    match (victims.must_exist, count) {
        (false, count) => Value::count(count),
        (true, 0) => Value::error("ERR No such client"),
        (true, _) => Value::OK,
    }
}
