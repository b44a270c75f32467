//! Which node to ask next.

use std::collections::BTreeSet;
use std::time::Duration;

use kv_common::id::{Address, Epoch};
use kv_common::view::ClusterMap;

use crate::back_off::BackOff;

const PAUSE_SHORTEST: Duration = Duration::from_millis(10);
const PAUSE_LONGEST: Duration = Duration::from_millis(250);
/// How often in turn the primary of the map is asked again that does not act as one yet. By then more
/// than half a second has gone by, and something else must be wrong.
const AWAITED_MAX: u32 = 6;

/// What to do to reach the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Ask this node.
    Ask(Address),
    /// Every known node was asked in vain; begin again after this pause.
    Pause(Duration),
    /// No node is known. Only a map helps.
    NobodyKnown,
}

/// What is known of who is primary: the newest map, what nodes said in refusals, and the nodes that
/// the user named.
#[derive(Clone, Debug)]
pub struct Routes {
    given: Vec<Address>,
    map: Option<ClusterMap>,
    hint: Option<Hint>,
    /// Asked in vain since the last success, pause or change of the primary.
    tried: BTreeSet<Address>,
    /// How often in turn the primary of the map said that it does not act as one.
    awaited: u32,
    /// Whether it is to be asked again before anybody else is, after a pause.
    await_primary: bool,
    back_off: BackOff,
}

/// What a node said in a refusal.
#[derive(Clone, Debug)]
struct Hint {
    epoch: Epoch,
    primary: Address,
}

impl Routes {
    /// Knows only the nodes that the user named.
    #[must_use]
    pub fn new(given: Vec<Address>) -> Self {
        Self {
            given,
            map: None,
            hint: None,
            tried: BTreeSet::new(),
            awaited: 0,
            await_primary: false,
            back_off: BackOff::new(PAUSE_SHORTEST, PAUSE_LONGEST),
        }
    }

    /// The newest map.
    #[must_use]
    pub fn map(&self) -> Option<&ClusterMap> {
        self.map.as_ref()
    }

    /// Takes a map in. Returns whether it names another primary than was known, or the same in
    /// another epoch; maps that are older, or of another cluster, change nothing.
    pub fn note_map(&mut self, map: ClusterMap) -> bool {
        let stale = self
            .map
            .as_ref()
            .is_some_and(|known| known.cluster != map.cluster || known.version >= map.version);
        if stale {
            return false;
        }
        let before = self.map.replace(map);
        let known = before.as_ref().map(primary_and_epoch);
        let now = self.map.as_ref().map(primary_and_epoch);
        if known == now || now.is_none_or(|(primary, _)| primary.is_none()) {
            return false;
        }
        self.begin_again();
        true
    }

    /// A node said that it is not the primary, and perhaps who is.
    pub fn note_refusal(&mut self, from: &Address, primary: Option<&Address>, epoch: Epoch) {
        if self.is_about_to_act(from, primary, epoch) {
            self.awaited += 1;
            self.await_primary = true;
            return;
        }
        self.tried.insert(from.clone());
        let Some(primary) = primary else {
            return;
        };
        if epoch >= self.epoch() && primary != from {
            self.hint = Some(Hint {
                epoch,
                primary: primary.clone(),
            });
        }
    }

    /// A node was not reached, or broke off without having answered anything.
    pub fn note_failure(&mut self, address: &Address) {
        self.tried.insert(address.clone());
    }

    /// A node answered as primary.
    pub fn note_success(&mut self) {
        if !self.tried.is_empty() || self.awaited > 0 {
            self.begin_again();
        }
    }

    /// A client may hear of a view before its primary has stored it, or acts upon it. Meanwhile that node
    /// names the primary of the view before, which may hang, or nobody: to ask others would cost a whole
    /// timeout.
    fn is_about_to_act(&self, from: &Address, primary: Option<&Address>, epoch: Epoch) -> bool {
        let by_map = self.map.as_ref().and_then(ClusterMap::primary_address);
        let newest = self.epoch() == self.map_epoch();
        let behind = epoch < self.map_epoch();
        let not_yet = epoch == self.map_epoch() && primary.is_none();
        by_map == Some(from) && newest && (behind || not_yet) && self.awaited < AWAITED_MAX
    }

    /// Whom to ask next.
    pub fn next_route(&mut self) -> Route {
        if std::mem::take(&mut self.await_primary) {
            return Route::Pause(self.back_off.next_pause());
        }
        let mut known = self.candidates().peekable();
        if known.peek().is_none() {
            return Route::NobodyKnown;
        }
        if let Some(next) = known.find(|address| !self.tried.contains(*address)) {
            return Route::Ask(next.clone());
        }
        drop(known);
        self.tried.clear();
        Route::Pause(self.back_off.next_pause())
    }

    /// Where the primary is, as far as is known.
    #[must_use]
    pub fn primary(&self) -> Option<&Address> {
        let by_map = self.map.as_ref().and_then(ClusterMap::primary_address);
        let hint = self.hint.as_ref();
        let hint = hint.filter(|hint| by_map.is_none() || hint.epoch > self.map_epoch());
        hint.map(|hint| &hint.primary).or(by_map)
    }

    /// Every node that is known, the likeliest primary first; some more than once.
    fn candidates(&self) -> impl Iterator<Item = &Address> {
        let others = self.map.iter().flat_map(|map| map.nodes.values());
        // A hint of the map's own epoch is worth a try behind the map's primary: addresses change.
        let hint = self.hint.as_ref().map(|hint| &hint.primary);
        self.primary()
            .into_iter()
            .chain(hint)
            .chain(others.map(|info| &info.address))
            .chain(&self.given)
    }

    fn begin_again(&mut self) {
        self.tried.clear();
        self.awaited = 0;
        self.await_primary = false;
        self.back_off.reset();
    }

    fn epoch(&self) -> Epoch {
        let hinted = self.hint.as_ref().map_or(Epoch::ZERO, |hint| hint.epoch);
        hinted.max(self.map_epoch())
    }

    fn map_epoch(&self) -> Epoch {
        let view = self.map.as_ref().and_then(|map| map.view.as_ref());
        view.map_or(Epoch::ZERO, |view| view.epoch)
    }
}

fn primary_and_epoch(map: &ClusterMap) -> (Option<&Address>, Option<Epoch>) {
    let epoch = map.view.as_ref().map(|view| view.epoch);
    (map.primary_address(), epoch)
}

#[cfg(test)]
mod tests;
