//! The connection to the node that is taken for the primary.

use std::time::Duration;

use kv_common::id::Address;
use kv_common::refusal::Refusal;
use kv_common::time::Monotonic;

use super::Dispatcher;
use crate::door::{Effect, Failure, LinkId, hint_of};
use crate::request::{Place, Protection};
use crate::routes::Route;

/// How long a node that said it is not the primary is given to answer the rest. It answers at once,
/// as a rule, and an answer is better than a doubt.
const LEAVE_AFTER: Duration = Duration::from_millis(100);

/// The connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    None,
    /// Every known node was asked in vain.
    Pausing {
        until: Monotonic,
    },
    Dialling {
        id: LinkId,
        address: Address,
    },
    Up {
        id: LinkId,
        address: Address,
        /// Whether the node answered anything as primary.
        answered: bool,
    },
    /// The node is not the primary; nothing more is sent there.
    Leaving {
        id: LinkId,
        address: Address,
        until: Monotonic,
    },
}

impl Link {
    pub(super) fn id(&self) -> Option<LinkId> {
        match self {
            Self::None | Self::Pausing { .. } => None,
            Self::Dialling { id, .. } | Self::Up { id, .. } | Self::Leaving { id, .. } => Some(*id),
        }
    }

    pub(super) fn is(&self, link: LinkId) -> bool {
        self.id() == Some(link)
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    pub(super) fn address(&self) -> Option<&Address> {
        match self {
            Self::None | Self::Pausing { .. } => None,
            Self::Dialling { address, .. }
            | Self::Up { address, .. }
            | Self::Leaving { address, .. } => Some(address),
        }
    }

    pub(super) fn timeout(&self) -> Option<Monotonic> {
        match self {
            Self::Pausing { until } | Self::Leaving { until, .. } => Some(*until),
            Self::None | Self::Dialling { .. } | Self::Up { .. } => None,
        }
    }
}

impl Dispatcher {
    pub(super) fn connect(&mut self, now: Monotonic) {
        if self.link != Link::None {
            return;
        }
        match self.routes.next_route() {
            Route::Ask(address) => {
                self.last_link = LinkId(self.last_link.0 + 1);
                let link = self.last_link;
                self.effects.push_back(Effect::Connect {
                    link,
                    address: address.clone(),
                });
                self.link = Link::Dialling { id: link, address };
            }
            Route::Pause(pause) => {
                let until = now.after(pause);
                self.link = Link::Pausing { until };
            }
            Route::NobodyKnown => {}
        }
    }

    pub(super) fn link_up(&mut self, link: LinkId) {
        let Link::Dialling { id, address } = &self.link else {
            return;
        };
        if *id != link {
            return;
        }
        self.link = Link::Up {
            id: link,
            address: address.clone(),
            answered: false,
        };
        self.effects.push_back(Effect::AskMap { link });
    }

    pub(super) fn link_down(&mut self, link: LinkId, why: String) {
        if !self.link.is(link) {
            return;
        }
        self.last_trouble = Some(why);
        match std::mem::replace(&mut self.link, Link::None) {
            // It was the primary a moment ago: the same node is tried again first.
            Link::Up { answered: true, .. } => {}
            Link::Dialling { address, .. }
            | Link::Up { address, .. }
            | Link::Leaving { address, .. } => self.routes.note_failure(&address),
            Link::None | Link::Pausing { .. } => {}
        }
        self.take_back_what_was_sent();
    }

    /// The node acts as primary.
    pub(super) fn link_answered(&mut self) {
        if let Link::Up { answered, .. } = &mut self.link {
            *answered = true;
            self.routes.note_success();
        }
    }

    pub(super) fn link_is_not_primary(&mut self, now: Monotonic, refusal: &Refusal) {
        self.last_trouble = Some(refusal.to_string());
        let Link::Up { id, address, .. } = &self.link else {
            return;
        };
        if let Some((primary, epoch)) = hint_of(refusal) {
            self.routes.note_refusal(address, primary, epoch);
        }
        self.link = Link::Leaving {
            id: *id,
            address: address.clone(),
            until: now.after(LEAVE_AFTER),
        };
    }

    pub(super) fn leave_if_all_is_answered(&mut self) {
        if matches!(self.link, Link::Leaving { .. }) && !self.requests.any_sent() {
            self.disconnect();
        }
    }

    /// A map named another primary, or the same in a new epoch.
    pub(super) fn follow_new_primary(&mut self) {
        let stays = self.link.address().is_some() && self.link.address() == self.routes.primary();
        if !stays {
            return self.disconnect();
        }
        if let Link::Leaving { id, address, .. } = &self.link {
            self.link = Link::Up {
                id: *id,
                address: address.clone(),
                answered: false,
            };
        }
    }

    pub(super) fn link_timeout(&mut self, now: Monotonic) {
        if self.link.timeout().is_some_and(|until| until <= now) {
            self.disconnect();
        }
    }

    fn disconnect(&mut self) {
        if let Some(link) = self.link.id() {
            self.effects.push_back(Effect::Disconnect { link });
        }
        self.link = Link::None;
        self.take_back_what_was_sent();
    }

    /// The connection is gone, and with it the answers to what was sent.
    fn take_back_what_was_sent(&mut self) {
        for exchange in self.requests.sent() {
            let protection = self.requests.get(exchange).map(|sent| sent.protection);
            match protection {
                Some(Protection::Unprotected) => {
                    self.finish(exchange, Err(Failure::OutcomeUnknown));
                    continue;
                }
                Some(Protection::Numbered) => self.mark_uncertain(exchange),
                Some(Protection::Harmless) | None => {}
            }
            self.requests.move_to(exchange, Place::Ready);
        }
    }
}
