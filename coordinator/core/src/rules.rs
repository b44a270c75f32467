//! The ordered rules: the first that matches acts, its name and sentence are its line in the event
//! log. Nothing is decided anywhere else but on a message that asks for it (a proposal, an order).

use kv_common::id::{Epoch, NodeId};
use kv_common::message::control::{DataSummary, Standing};
use kv_common::time::Now;
use kv_common::view::{PrimarySeat, View};

use crate::cluster_state::Command;
use crate::coordinator::{Coordinator, SHARD};
use crate::failover::Failover;
use crate::failure_detector::{Suspicion, suspect};

/// A row of the table.
pub struct Rule {
    /// Where it stands; numbered with gaps.
    pub number: u16,
    /// Its name in the event log.
    pub name: &'static str,
    /// When it matches, and what it does.
    pub text: &'static str,
    act: fn(&mut Coordinator, Now) -> bool,
}

/// The table.
pub const RULES: &[Rule] = &[
    Rule {
        number: 100,
        name: "halted",
        text: "an epoch or seal above all that we named is known to a node → nothing, until the operator acts",
        act: |coordinator, _| coordinator.halted.is_some(),
    },
    Rule {
        number: 200,
        name: "first-view",
        text: "no view, enough fresh nodes are here, and their data agree → the first view",
        act: Coordinator::form_first_view,
    },
    Rule {
        number: 300,
        name: "failover-ends",
        text: "members answered the open seal → a view with the furthest of them as primary",
        act: Coordinator::finish_failover,
    },
    Rule {
        number: 310,
        name: "handover-ends",
        text: "the handover was given up or took too long → the seal is asked of everybody",
        act: Coordinator::abandon_handover,
    },
    Rule {
        number: 320,
        name: "failover-goes-on",
        text: "a seal is open → wait for answers",
        act: |coordinator, _| coordinator.failover.is_some(),
    },
    Rule {
        number: 400,
        name: "failover",
        text: "the primary was restarted, is lost to two, is silent for long, does not work, does not act, or a member is sealed → a seal",
        act: Coordinator::begin_failover,
    },
    Rule {
        number: 450,
        name: "switchover",
        text: "the primary says that it is about to stop, or is drained, and a backup is connected → a handover",
        act: Coordinator::hand_over_of_leaving,
    },
    Rule {
        number: 460,
        name: "drain",
        text: "a backup is drained, the primary serves, and enough others stay → a view without it",
        act: Coordinator::let_drained_go,
    },
    Rule {
        number: 500,
        name: "settings",
        text: "the settings differ from the view's → a view with the same members",
        act: Coordinator::follow_settings,
    },
];

impl Coordinator {
    /// Lets the first rule that matches act.
    pub(crate) fn decide(&mut self, now: Now) {
        for rule in RULES {
            if (rule.act)(self, now) {
                return;
            }
        }
    }

    /// The registered, connected nodes that never adopted a view.
    pub(crate) fn fresh_nodes(&self) -> Vec<(NodeId, Option<DataSummary>)> {
        let connected = self.live.nodes.iter();
        connected
            .filter(|(_, heard)| heard.connection.is_some())
            .filter_map(|(node, heard)| match heard.standing {
                Standing::Fresh { data } => Some((*node, data)),
                Standing::Veteran { .. } => None,
            })
            .collect()
    }

    fn form_first_view(&mut self, now: Now) -> bool {
        if self.state.view().is_some() {
            return false;
        }
        let fresh = self.fresh_nodes();
        let ordered = self.form_ordered.is_some();
        let enough = fresh.len() >= usize::from(self.settings.expect.max(1));
        if fresh.is_empty() || !(enough || ordered) {
            return true;
        }
        let from = self.form_ordered.flatten();
        match self.founder(&fresh, from) {
            Ok(founder) => {
                self.formation_blocked = None;
                self.form_with(now, founder);
            }
            Err(why) => self.formation_blocked = Some(why),
        }
        true
    }

    /// Whose data the cluster begins with.
    fn founder(
        &self,
        fresh: &[(NodeId, Option<DataSummary>)],
        from: Option<NodeId>,
    ) -> Result<NodeId, String> {
        if let Some(from) = from {
            return Ok(from);
        }
        let bringing: Vec<(NodeId, DataSummary)> = fresh
            .iter()
            .filter_map(|(node, data)| Some((*node, (*data)?)))
            .collect();
        let agree = bringing.windows(2).all(|pair| pair[0].1 == pair[1].1);
        if !agree {
            let brought: Vec<String> = bringing
                .iter()
                .map(|(node, data)| {
                    let name = self.state.name_of(*node);
                    format!("{name} ({} keys, digest {:032x})", data.keys, data.digest)
                })
                .collect();
            return Err(format!(
                "several nodes bring different data: {}; choose with kvclient admin form --from NODE",
                brought.join(", ")
            ));
        }
        let with_data = bringing.iter().map(|(node, _)| *node);
        self.first_by_name(with_data)
            .or_else(|| self.first_by_name(fresh.iter().map(|(node, _)| *node)))
            .ok_or_else(|| "no fresh node is here".to_owned())
    }

    fn first_by_name(&self, nodes: impl Iterator<Item = NodeId>) -> Option<NodeId> {
        nodes.min_by_key(|node| (self.state.name_of(*node), *node))
    }

    fn form_with(&mut self, now: Now, founder: NodeId) {
        let Some(incarnation) = self.live.nodes.get(&founder).map(|heard| heard.incarnation) else {
            return;
        };
        let view = View {
            shard: SHARD,
            epoch: self.state.highest_named().next(),
            primary: PrimarySeat {
                node: founder,
                incarnation,
            },
            backups: Vec::new(),
            release: None,
            settings: self.settings.of_views(),
        };
        let name = self.state.name_of(founder);
        self.form_ordered = None;
        self.install(
            now,
            view,
            "first-view",
            format!("{name} is the first primary; the others are brought in"),
        );
    }

    fn begin_failover(&mut self, now: Now) -> bool {
        let Some(view) = self.state.view() else {
            return false;
        };
        let suspicion = suspect(
            now.monotonic,
            &self.state,
            &self.live,
            view,
            self.installed_at,
        );
        let Some(suspicion) = suspicion else {
            return false;
        };
        let why = self.explain(view.primary.node, &suspicion);
        let epoch = self.order_seal(now);
        self.event(now, "failover", format!("{why}: sealing epoch {epoch}"));
        self.ask_for_seals(now.monotonic);
        true
    }

    /// Orders a seal at a new epoch, durably before anyone is asked.
    pub(crate) fn order_seal(&mut self, now: Now) -> Epoch {
        let epoch = self.highest_known().next();
        self.order_seal_at(now, epoch)
    }

    pub(crate) fn order_seal_at(&mut self, now: Now, epoch: Epoch) -> Epoch {
        self.apply(Command::OrderSeal(epoch));
        self.failover = Some(Failover::new(now.monotonic, epoch));
        epoch
    }

    /// The highest epoch that this coordinator named or any node reports.
    pub(crate) fn highest_known(&self) -> Epoch {
        let known = self
            .live
            .nodes
            .values()
            .filter_map(|heard| heard.report.as_ref())
            .map(|(report, _)| report.seal.max(report.view_epoch))
            .max()
            .unwrap_or_default();
        self.state.highest_named().max(known)
    }

    fn explain(&self, primary: NodeId, suspicion: &Suspicion) -> String {
        let name = self.state.name_of(primary);
        match suspicion {
            Suspicion::Restarted => format!("primary {name} was restarted"),
            Suspicion::LostByTwo { witness } => {
                let witness = self.state.name_of(*witness);
                format!("primary {name} is lost to the coordinator and to {witness}")
            }
            Suspicion::SilentForLong => format!("primary {name} is silent for long"),
            Suspicion::DoesNotWork { what } => format!("primary {name} does not work: {what}"),
            Suspicion::DoesNotAct => format!("{name} does not act as primary"),
            Suspicion::Sealed { member } => {
                let member = self.state.name_of(*member);
                format!("{member} is sealed above the view")
            }
        }
    }

    fn finish_failover(&mut self, now: Now) -> bool {
        let (Some(failover), Some(old)) = (&self.failover, self.state.view()) else {
            return false;
        };
        let patience = old.settings.timing().heartbeat_interval() * 2;
        let settings = self.settings.of_views();
        let target = failover.handover.as_ref().map(|handover| handover.to);
        if target.is_some() {
            // A handover ends by the primary's answer, in `sealed`.
            return false;
        }
        let drained = self.state.drained();
        let outcome = failover.outcome(now.monotonic, patience, &self.live, old, settings, drained);
        let Some(view) = outcome else {
            return false;
        };
        let took_ms = now.monotonic.since(failover.began_at).as_millis();
        let name = self.state.name_of(view.primary.node);
        let backups = self.names(&view.backups);
        let what = format!("{name} is primary{backups}; the failover took {took_ms} ms");
        self.install(now, view, "failover-ends", what);
        true
    }

    pub(crate) fn names(&self, nodes: &[NodeId]) -> String {
        if nodes.is_empty() {
            return ", without a backup".to_owned();
        }
        let mut names: Vec<String> = nodes.iter().map(|node| self.state.name_of(*node)).collect();
        names.sort();
        format!(", backups {}", names.join(", "))
    }

    fn follow_settings(&mut self, now: Now) -> bool {
        let settings = self.settings.of_views();
        let Some(view) = self.state.view().filter(|view| view.settings != settings) else {
            return false;
        };
        let mut view = view.clone();
        view.settings = settings;
        self.install_same_members(now, view, "settings", "the settings changed");
        true
    }

    /// Uses the current epoch up: the next one has the same members.
    pub(crate) fn install_same_members(&mut self, now: Now, mut view: View, rule: &str, why: &str) {
        view.epoch = self.state.highest_named().next();
        view.release = None;
        let what = format!("{why}: epoch {} with the same members", view.epoch);
        self.install(now, view, rule, what);
    }
}
