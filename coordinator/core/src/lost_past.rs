//! A coordinator that has lost its own past, and how an operator gives it one again.
//!
//! Why it is safe to go on from the newest view that the nodes know, once every node that has data was
//! asked: a view counts for something only from when its primary has adopted it, durably. So the newest
//! view in which anybody ever acted is among those that were reported. Its members alone are not enough:
//! its primary may have proposed a joiner and died, and the view with that joiner in it, which the lost
//! coordinator installed, may have made the joiner primary of a view that no member of ours heard of. Who
//! was proposed is not stored anywhere, so the operator says how many nodes there are.

use kv_common::id::{Epoch, NodeId};
use kv_common::time::Now;
use kv_common::view::View;

use crate::cluster_state::Command;
use crate::coordinator::Coordinator;

/// How far the next epoch is above all that are known: a view that the lost state held, and that nobody
/// here knows of, must not have its epoch given out again.
const EPOCHS_LEFT_OUT: u64 = 1 << 20;

/// Why a coordinator decides nothing that was given an empty state for a cluster that exists.
pub(crate) fn of_a_new_state() -> String {
    "this coordinator was started without the past of its cluster; it decides nothing until the nodes \
     are connected and an operator runs kvclient admin adopt-views"
        .to_owned()
}

impl Coordinator {
    /// Somebody knows of an epoch or a seal that this coordinator never named: it has lost its own
    /// past, and anything that it decides could contradict what it decided before.
    pub(crate) fn check_past(&mut self, now: Now, node: NodeId, view_epoch: Epoch, seal: Epoch) {
        let theirs = view_epoch.max(seal);
        if theirs > self.state.highest_named() {
            self.lose_past(now, node, theirs);
        }
    }

    /// Decides nothing any more, because of an epoch that `node` knows and this coordinator does not.
    pub(crate) fn lose_past(&mut self, now: Now, node: NodeId, theirs: Epoch) {
        if self.halted.is_none() {
            let ours = self.state.epoch();
            let name = self.state.name_of(node);
            let why = format!(
                "this coordinator has lost its own past: {name} knows epoch {theirs}, and this \
                 coordinator only {ours}; it decides nothing until its data directory is back, or the \
                 nodes are connected and an operator runs kvclient admin adopt-views"
            );
            self.halted = Some(why.clone());
            self.event(now, "halted", why);
        }
    }

    /// Goes on from the newest view that the nodes know, with a seal above everything.
    pub(crate) fn adopt_views(
        &mut self,
        now: Now,
        nodes: u16,
        accepts_loss: bool,
    ) -> Result<String, String> {
        if self.halted.is_none() {
            return Err("this coordinator has its past, there is nothing to adopt".to_owned());
        }
        let view = self
            .newest_known_view()
            .ok_or("no node that is connected knows a view")?;
        let missing = self.not_asked(&view, usize::from(nodes));
        if let Some(missing) = &missing
            && !accepts_loss
        {
            return Err(format!(
                "the newest view that is known is epoch {}, but {missing}; a node that is not here may hold \
                 acknowledged writes that nobody else has. Start it, or give up what it may hold: \
                 kvclient admin adopt-views --accept-loss",
                view.epoch
            ));
        }
        let (adopted, members) = (view.epoch, view.member_count());
        let epoch = Epoch(self.highest_known().max(adopted).0 + EPOCHS_LEFT_OUT);
        // Who has a map of the lost coordinator takes no older one: seconds since 1970 are above any
        // count of starts.
        let starts = now.unix.0 / 1000;
        self.apply(Command::AdoptView { view, starts });
        self.number_maps_anew();
        self.halted = None;
        self.order_seal_at(now, epoch);
        let without = missing.map_or_else(String::new, |missing| format!(", although {missing}"));
        let what = format!(
            "an operator had epoch {adopted} with {members} members adopted{without}: sealing epoch {epoch}"
        );
        self.event(now, "adopt-views", what);
        Ok(format!(
            "going on from epoch {adopted}; the next view is of epoch {epoch}"
        ))
    }

    /// Who is not here to be asked, in words; none: everybody who has data was.
    fn not_asked(&self, view: &View, nodes: usize) -> Option<String> {
        let asked = |node: &NodeId| self.live.report_of_connected(*node).is_some();
        let away: Vec<String> = view
            .members()
            .filter(|member| !asked(member))
            .map(|member| self.state.name_of(member))
            .collect();
        if !away.is_empty() {
            return Some(format!(
                "of its members these are away: {}",
                away.join(", ")
            ));
        }
        let here: Vec<String> = self
            .live
            .nodes
            .keys()
            .filter(|node| asked(node))
            .map(|node| self.state.name_of(*node))
            .collect();
        let count = here.len();
        (count < nodes).then(|| {
            format!(
                "only {count} of {nodes} nodes are here: {}",
                here.join(", ")
            )
        })
    }

    /// The newest view that a connected node has adopted, or that was stored here.
    fn newest_known_view(&self) -> Option<View> {
        let nodes = self.live.nodes.keys();
        let reports = nodes.filter_map(|node| self.live.report_of_connected(*node));
        let reported = reports.filter_map(|report| report.view.as_deref());
        reported
            .chain(self.state.view())
            .max_by_key(|view| view.epoch)
            .cloned()
    }
}
