//! Other nodes, as followers and as primaries.

use std::collections::VecDeque;

use bytes::Bytes;
use kv_common::batch::Batch;
use kv_common::history::{BaseId, History};
use kv_common::id::{Epoch, Incarnation, NodeId, Seq};
use kv_common::message::replication::{
    FollowerRefusal, FollowerToPrimary, PrimaryStamp, PrimaryToFollower,
};
use kv_common::time::Monotonic;
use kv_common::view::PrimarySeat;
use kvnode_core::input::{Input, LinkId};

use super::disk::batch_of;
use super::words::{Words, number, position};
use super::{Rig, lines, nodes, shard, view_of};

/// Another node.
#[derive(Default)]
pub(crate) struct Peer {
    /// The connection that we dialled to it, and the one before.
    dialled: Option<LinkId>,
    dialled_before: Option<LinkId>,
    /// The connection on which it called, and the one before.
    called: Option<LinkId>,
    called_before: Option<LinkId>,
    run: u64,
    /// Whether it answers by itself what it is sent.
    answers: bool,
    answers_due: VecDeque<FollowerToPrimary>,
    /// The newest message to it.
    newest: Option<PrimaryStamp>,
    /// How far its log goes, as far as it was matched and sent.
    holds: Seq,
}

impl Peer {
    /// Takes what it is sent as a follower.
    pub(crate) fn receives(&mut self, message: PrimaryToFollower) {
        let answer = match message {
            PrimaryToFollower::Match { stamp, history, .. } => {
                self.newest = Some(stamp);
                self.holds = history.last().seq;
                FollowerToPrimary::Matched {
                    epoch: stamp.epoch,
                    answers: stamp.sent_at,
                    common: history.last(),
                    held: history.last().seq,
                }
            }
            PrimaryToFollower::Append { stamp, batch } => {
                self.newest = Some(stamp);
                let batch = Batch::parse(batch).expect("a batch of ours is read");
                self.holds = batch.last();
                ack(stamp, self.holds)
            }
            PrimaryToFollower::Beat { stamp } => {
                self.newest = Some(stamp);
                ack(stamp, self.holds)
            }
            PrimaryToFollower::AppendPiece { .. } => panic!("the shell takes batches apart"),
        };
        if self.answers {
            self.answers_due.push_back(answer);
        }
    }

    /// The connections end with the run of the node under test.
    pub(crate) fn hang_up(&mut self) {
        self.dialled_before = self.dialled.take().or(self.dialled_before);
        self.called_before = self.called.take().or(self.called_before);
        self.answers_due.clear();
    }
}

fn ack(stamp: PrimaryStamp, held: Seq) -> FollowerToPrimary {
    FollowerToPrimary::Ack {
        epoch: stamp.epoch,
        answers: stamp.sent_at,
        held,
    }
}

impl Rig {
    /// Carries a command out that is a peer's. Returns whether it is one.
    pub(crate) fn peer_command(&mut self, words: &Words<'_>) -> bool {
        match words.as_slice() {
            ["link", node] => self.link(number(node)),
            ["unlink", node] => self.unlink(number(node)),
            ["answering", followers] => self.set_answering(followers, true),
            ["silent", followers] => self.set_answering(followers, false),
            ["matched" | "ack" | "needs-copy" | "refuses", node, ..] => {
                self.follower_says(number(node), words);
            }
            ["match" | "append" | "beat", "from", node, ..] => {
                self.primary_says(number(node), words);
            }
            ["hangs-up", node] => {
                let peer = self.peer(number(node));
                let link = peer.called.take().expect("it has called");
                peer.called_before = Some(link);
                self.input(Input::PrimaryDown { link });
            }
            _ => return false,
        }
        true
    }

    fn set_answering(&mut self, followers: &str, answers: bool) {
        for node in nodes(followers) {
            self.peer(node.0).answers = answers;
        }
    }

    fn link(&mut self, node: u64) {
        let link = self.new_link();
        let peer = self.peer(node);
        peer.dialled_before = peer.dialled.or(peer.dialled_before);
        peer.dialled = Some(link);
        let node = NodeId(node);
        self.input(Input::FollowerUp { node, link });
    }

    fn unlink(&mut self, node: u64) {
        let peer = self.peer(node);
        let link = peer.dialled.take().expect("there is a connection to it");
        peer.dialled_before = Some(link);
        peer.answers_due.clear();
        let node = NodeId(node);
        self.input(Input::FollowerDown { node, link });
    }

    /// What a follower that answers by itself says next.
    pub(crate) fn next_follower_answer(&mut self) -> Option<Input> {
        self.peers.iter_mut().find_map(|(node, peer)| {
            let message = peer.answers_due.pop_front()?;
            let link = peer.dialled?;
            let node = NodeId(*node);
            Some(Input::FollowerSays {
                node,
                link,
                message,
            })
        })
    }

    fn follower_says(&mut self, node: u64, words: &Words<'_>) {
        let peer = self.peer(node);
        let newest = peer.newest;
        let link = if words.has("old-link") {
            peer.dialled_before
        } else {
            peer.dialled
        };
        let link = link.expect("there is a connection to it");
        let sent_at = newest.map(|stamp| stamp.sent_at).unwrap_or_default();
        let epoch = words.number_after("epoch").map(Epoch);
        let epoch = epoch.or(newest.map(|stamp| stamp.epoch));
        let epoch = epoch.expect("an epoch, for nothing was sent to it");
        let answers = words.duration_after("answers");
        let answers = answers.map_or(sent_at, |time| lines::BEGIN.after(time));
        let message = answer_of(words, epoch, answers);
        let node = NodeId(node);
        self.input(Input::FollowerSays {
            node,
            link,
            message,
        });
    }

    fn primary_says(&mut self, node: u64, words: &Words<'_>) {
        let fresh = self.new_link();
        let run = words.number_after("run");
        let peer = self.peer(node);
        peer.run = run.unwrap_or(peer.run.max(1));
        if peer.called.is_none() || words.has("new-link") {
            peer.called_before = peer.called.or(peer.called_before);
            peer.called = Some(fresh);
        }
        let link = if words.has("old-link") {
            peer.called_before
        } else {
            peer.called
        };
        let link = link.expect("it called before");
        let seat = PrimarySeat {
            node: NodeId(node),
            incarnation: Incarnation(peer.run),
        };
        let sent_at = words.duration_after("sent");
        let stamp = PrimaryStamp {
            shard: shard(words),
            epoch: words.epoch(),
            sent_at: sent_at.map_or(self.clock(), |time| lines::BEGIN.after(time)),
            committed: words.seq_after("committed").unwrap_or_default(),
            assured: words.seq_after("assured").unwrap_or_default(),
        };
        let message = message_of(words, seat, stamp);
        self.input(Input::PrimarySays {
            link,
            seat,
            message,
        });
    }

    /// The follower at the other end of a connection that we dialled.
    pub(crate) fn follower_on(&self, link: LinkId) -> u64 {
        let mut peers = self.peers.iter();
        let found =
            peers.find(|(_, peer)| peer.dialled == Some(link) || peer.dialled_before == Some(link));
        found.map(|(node, _)| *node).expect("a known connection")
    }

    /// The node that called on this connection.
    pub(crate) fn caller_on(&self, link: LinkId) -> String {
        let mut peers = self.peers.iter();
        let found = peers.find_map(|(node, peer)| {
            if peer.called == Some(link) {
                Some(node.to_string())
            } else if peer.called_before == Some(link) {
                Some(format!("{node}, on its old connection"))
            } else {
                None
            }
        });
        found.expect("a known connection")
    }
}

fn answer_of(words: &Words<'_>, epoch: Epoch, answers: Monotonic) -> FollowerToPrimary {
    match words.as_slice() {
        ["matched", _, "at", at, ..] => {
            let common = position(at);
            FollowerToPrimary::Matched {
                epoch,
                answers,
                common,
                held: words.seq_after("held").unwrap_or(common.seq),
            }
        }
        ["ack", _, held, ..] => FollowerToPrimary::Ack {
            epoch,
            answers,
            held: Seq(number(held)),
        },
        ["needs-copy", ..] => FollowerToPrimary::NeedsCopy { epoch, answers },
        ["refuses", ..] => FollowerToPrimary::Refused {
            epoch,
            why: FollowerRefusal::NotMatched { epoch },
        },
        other => panic!("'{}' is no answer", other.join(" ")),
    }
}

fn message_of(words: &Words<'_>, seat: PrimarySeat, stamp: PrimaryStamp) -> PrimaryToFollower {
    match words.as_slice() {
        ["match", ..] => {
            let base = words.number_after("base").unwrap_or(0);
            let mut history = History::on_base(BaseId(u128::from(base)));
            for run in words.runs_after("entries") {
                history.extend_run(run.epoch, run.first, run.last);
            }
            let mut view = if words.has("primary") {
                view_of(words, stamp.epoch)
            } else {
                let named = format!("primary {}", seat.node.0);
                let mut view = view_of(&Words::of(&named), stamp.epoch);
                view.primary = seat;
                view
            };
            view.backups = words.nodes_after("backups");
            view.shard = stamp.shard;
            PrimaryToFollower::Match {
                stamp,
                view,
                history,
                log_from: words.seq_after("log-from").unwrap_or(Seq(1)),
            }
        }
        ["append", ..] => {
            let runs = words.runs_after("entries");
            let batch = batch_of(runs[0]);
            let mut bytes = batch.bytes().to_vec();
            if words.has("damaged")
                && let Some(last) = bytes.last_mut()
            {
                *last ^= 1;
            }
            let batch = Bytes::from(bytes);
            PrimaryToFollower::Append { stamp, batch }
        }
        ["beat", ..] => PrimaryToFollower::Beat { stamp },
        other => panic!("'{}' is no message", other.join(" ")),
    }
}
