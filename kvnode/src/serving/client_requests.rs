//! What clients say: commands go to the core, questions about the node are answered here.

use std::rc::Rc;

use kv_common::command::{Command, Reply};
use kv_common::message::client::{ClientToNode, NodeToClient, SessionStamp};
use kv_common::refusal::Refusal;
use kv_common::time::Now;
use kvnode_core::input::{ClientToken, Input};
use tracing::Level;

use crate::metrics::Operation;

use super::client_output::{ClientOutput, Exchange};
use super::shard::{Asked, Shard};

/// How much of a key stands in a log line.
const LOGGED_KEY_BYTES: usize = 100;

impl Shard {
    pub(super) fn client_says(
        &mut self,
        now: Now,
        output: &Rc<ClientOutput>,
        message: ClientToNode,
    ) {
        match message {
            ClientToNode::Request { id, stamp, command } => {
                let output = Rc::clone(output);
                self.ask_core(now, Exchange::Command { output, id }, stamp, command);
            }
            ClientToNode::Map { id } => {
                let map = self.replica.map().cloned();
                self.send_client(output, NodeToClient::Map { id, map });
            }
            ClientToNode::Report { id } => {
                let log = &self.storage.log;
                let report = self.publisher.report(now, &self.replica, log);
                self.send_client(output, NodeToClient::Report { id, report });
            }
            ClientToNode::Digest { id, at } => self.ask_digest(now, output, id, at),
            ClientToNode::Dump { id } => self.ask_dump(output, id),
            ClientToNode::Export { id } => {
                // Executed as a read, so that only a primary that could answer reads goes on.
                let output = Rc::clone(output);
                self.ask_core(
                    now,
                    Exchange::Export { output, id },
                    None,
                    Command::CountKeys,
                );
            }
        }
    }

    fn ask_core(
        &mut self,
        now: Now,
        exchange: Exchange,
        stamp: Option<SessionStamp>,
        command: Command,
    ) {
        match &exchange {
            Exchange::Command { output, .. } | Exchange::Export { output, .. } => output.begins(),
            Exchange::Redis(_) => {}
        }
        let is_export = matches!(exchange, Exchange::Export { .. });
        let asked = Asked {
            exchange,
            operation: (!is_export).then(|| Operation::of(&command)),
            at: now.monotonic,
        };
        let client = ClientToken(self.exchanges.insert(asked));
        self.hand_to_core(now, client, stamp, command);
    }

    /// Hands a client's command to the core, and logs it if that is wanted.
    pub(super) fn hand_to_core(
        &mut self,
        now: Now,
        client: ClientToken,
        stamp: Option<SessionStamp>,
        command: Command,
    ) {
        let described = tracing::enabled!(Level::DEBUG).then(|| describe(&command));
        self.replica.handle(
            now,
            Input::Request {
                client,
                stamp,
                command,
            },
        );
        if let Some((operation, key)) = described {
            let database_size = self.replica.state().keys();
            tracing::debug!(operation, key, database_size);
        }
    }

    pub(super) fn reply_to_command(
        &mut self,
        output: &Rc<ClientOutput>,
        id: u64,
        result: Result<Reply, Refusal>,
    ) {
        output.ends();
        self.send_client(output, NodeToClient::Answer { id, result });
    }

    /// Sends to a client at the end of the turn.
    pub(super) fn send_client(&mut self, output: &Rc<ClientOutput>, message: NodeToClient) {
        if output.put(message) {
            self.touched_clients.push(Rc::clone(output));
        }
    }
}

/// The name of a command and its first key, for people.
fn describe(command: &Command) -> (&'static str, String) {
    let key = command.keys().next().map_or_else(String::new, |key| {
        let shown = &key[..key.len().min(LOGGED_KEY_BYTES)];
        shown.escape_ascii().to_string()
    });
    (command.name(), key)
}
