//! A coordinator that has lost its own past, and how an operator gives it one again.
//!
//! Why it is safe to go on from the newest view *V* that the nodes know, once every member of *V* was
//! asked: a view counts from when its primary adopted it, durably. The view that followed *V*, if there
//! was one, had its primary among the members of *V*, and so had each one after it until one of these
//! primaries adopted its view and proposed others. All of them were asked, and none knows a newer view;
//! so nobody ever acted in one.

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
    pub(crate) fn adopt_views(&mut self, now: Now, accepts_loss: bool) -> Result<String, String> {
        if self.halted.is_none() {
            return Err("this coordinator has its past, there is nothing to adopt".to_owned());
        }
        let view = self
            .newest_known_view()
            .ok_or("no node that is connected knows a view")?;
        let missing: Vec<String> = view
            .members()
            .filter(|member| self.live.report_of_connected(*member).is_none())
            .map(|member| self.state.name_of(member))
            .collect();
        if !missing.is_empty() && !accepts_loss {
            return Err(format!(
                "the newest view that is known is epoch {}, and of its members these are not here to be \
                 asked: {}; one of them may hold acknowledged writes that nobody else has. Start them, or \
                 give up what they may hold: kvclient admin adopt-views --accept-loss",
                view.epoch,
                missing.join(", ")
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
        let without = if missing.is_empty() {
            String::new()
        } else {
            format!(", without having asked {}", missing.join(", "))
        };
        let what = format!(
            "an operator had epoch {adopted} with {members} members adopted{without}: sealing epoch {epoch}"
        );
        self.event(now, "adopt-views", what);
        Ok(format!(
            "going on from epoch {adopted}; the next view is of epoch {epoch}"
        ))
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
