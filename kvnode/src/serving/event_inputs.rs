//! What other threads tell, as inputs of the core.

use kv_common::id::ClusterId;
use kv_common::message::control::CoordinatorToNode;
use kv_common::time::Now;
use kvnode_core::input::Input;
use kvnode_storage::{CheckpointEvent, LogEvent, MetaEvent};

use crate::events::{CoordinatorEvent, Event};

use super::shard::Shard;

impl Shard {
    pub(super) fn take_event(&mut self, now: Now, event: Event) {
        match event {
            Event::Log(event) => self.take_log_event(now, event),
            Event::Meta(event) => self.take_meta_event(now, event),
            Event::Checkpoint(event) => self.take_checkpoint_event(now, event),
            Event::Copy(event) => self.take_copy_event(now, event),
            Event::Coordinator(event) => self.take_coordinator_event(now, event),
        }
    }

    fn take_log_event(&mut self, now: Now, event: LogEvent) {
        let input = match event {
            LogEvent::Flushed { through } => {
                self.latencies.flushed(now.monotonic, through);
                Input::Flushed { through }
            }
            LogEvent::Cut { ticket } => {
                self.latencies.forget();
                Input::LogCut { ticket }
            }
            LogEvent::Read { request, batches } => Input::LogRead {
                node: request.node,
                link: request.link,
                from: request.from,
                batches,
            },
            LogEvent::Released { log_from } => Input::LogReleased { log_from },
            LogEvent::Failed(failure) => return self.disk_failed(now, failure),
        };
        self.replica.handle(now, input);
    }

    fn take_meta_event(&mut self, now: Now, event: MetaEvent) {
        match event {
            MetaEvent::Stored { ticket } => {
                self.replica.handle(now, Input::PromisesStored { ticket });
            }
            MetaEvent::ClusterStored { cluster } => tracing::info!("joined cluster {cluster}"),
            MetaEvent::Failed(failure) => self.disk_failed(now, failure),
        }
    }

    fn take_checkpoint_event(&mut self, now: Now, event: CheckpointEvent) {
        match event {
            CheckpointEvent::Checkpointed { applied } => {
                tracing::debug!(%applied, "the checkpoint is durable");
            }
            CheckpointEvent::Dumped { token, outcome } => self.dumped(token, outcome),
            CheckpointEvent::Exported { token, outcome } => self.exported(token, outcome),
            CheckpointEvent::CopyMessage { copy, message } => {
                if !self.served_copies.pass_on(copy, message) {
                    self.end_served_copy(copy);
                }
            }
            CheckpointEvent::Failed(failure) => self.disk_failed(now, failure),
        }
    }

    fn take_coordinator_event(&mut self, now: Now, event: CoordinatorEvent) {
        match event {
            CoordinatorEvent::Registered { cluster } => {
                self.store_cluster(now, cluster);
                self.replica.handle(now, Input::CoordinatorUp);
            }
            CoordinatorEvent::Lost => self.replica.handle(now, Input::CoordinatorDown),
            CoordinatorEvent::Said(message) => self.coordinator_says(now, message),
            CoordinatorEvent::Hopeless { why } => self.hopeless = Some(why),
        }
    }

    /// The meta thread works in order: the cluster is durable before any view of it.
    fn store_cluster(&mut self, now: Now, cluster: ClusterId) {
        if self.stored_cluster != Some(cluster) {
            self.stored_cluster = Some(cluster);
            let taken = self.storage.meta.store_cluster(cluster);
            self.check_taken(now, taken);
        }
    }

    fn coordinator_says(&mut self, now: Now, message: CoordinatorToNode) {
        let input = match message {
            CoordinatorToNode::Map(map) => {
                if self.pulse.cluster() != Some(map.cluster) {
                    tracing::warn!("the coordinator sent a map of cluster {}", map.cluster);
                    return;
                }
                Input::Map(map)
            }
            CoordinatorToNode::Seal { shard, epoch } => Input::Seal { shard, epoch },
            CoordinatorToNode::Handover {
                shard,
                epoch,
                to,
                seal,
            } => Input::Handover {
                shard,
                epoch,
                to,
                seal,
            },
            CoordinatorToNode::Registered { .. } | CoordinatorToNode::Refused(_) => {
                tracing::warn!("the coordinator answered a registration twice");
                return;
            }
        };
        self.replica.handle(now, input);
    }
}
