//! The rules that safety rests on, as far as the model can show it.
//!
//! Two more are in the model and cannot be left out: a sealed node takes nothing of a lower epoch, and an ack
//! counts only in the epoch that it names. Without either, no claim fails within the model's bounds: what a
//! sealed node takes, it brings along into the next view, and what it grants, it waits out. They keep the
//! argument simple, and the cores' scenarios hold them.

/// Which rules hold. A model of the store has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A new primary waits until nobody can rely on a lease from it.
    pub waits_before_serving: bool,
    /// A restarted node waits for what it has forgotten.
    pub waits_after_restart: bool,
    /// An entry is committed when every member holds it; else when most do.
    pub commits_by_all: bool,
    /// A new primary commits its whole tail before it serves.
    pub commits_tail_before_serving: bool,
    /// Only members of the view are asked for a seal, and chosen.
    pub chooses_members_only: bool,
    /// A proposed joiner counts for commits at once.
    pub joiner_counts_for_commits: bool,
    /// A proposed joiner counts for the lease at once.
    pub joiner_counts_for_lease: bool,
    /// A joiner is proposed when it holds everything committed.
    pub joiner_has_caught_up: bool,
    /// A backup counts until a view without it is held.
    pub removed_counts_until_view: bool,
    /// No proposal is taken while a seal is open.
    pub seal_uses_its_epoch_up: bool,
}

impl Rules {
    /// Every rule.
    pub const ALL: Self = Self {
        waits_before_serving: true,
        waits_after_restart: true,
        commits_by_all: true,
        commits_tail_before_serving: true,
        chooses_members_only: true,
        joiner_counts_for_commits: true,
        joiner_counts_for_lease: true,
        joiner_has_caught_up: true,
        removed_counts_until_view: true,
        seal_uses_its_epoch_up: true,
    };
}
