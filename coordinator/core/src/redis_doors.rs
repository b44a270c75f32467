//! Redis doors that several nodes advertise under one address: clients reach one of these nodes alone, and take it
//! for the other.

use kv_common::id::{Address, NodeId};

use crate::coordinator::Coordinator;

impl Coordinator {
    /// Says so when another node that is here advertises the same address as this one.
    pub(crate) fn warn_of_shared_door(&mut self, node: NodeId) {
        let address = self.door_of(node).cloned();
        let shared = self.shared_doors().into_iter();
        let mut shared = shared.filter(|(door, _)| Some(door) == address.as_ref());
        if let Some((_, sentence)) = shared.next() {
            self.log(format!("[redis-address] {sentence}"));
        }
    }

    /// Addresses that several nodes that are here advertise, each with a sentence about it.
    pub(crate) fn shared_doors(&self) -> Vec<(Address, String)> {
        let here = self.state.nodes().keys().copied();
        let here: Vec<NodeId> = here.filter(|node| self.live.is_connected(*node)).collect();
        let mut shared: Vec<(Address, String)> = Vec::new();
        for node in &here {
            let Some(address) = self.door_of(*node) else {
                continue;
            };
            let sharing = here
                .iter()
                .filter(|other| self.door_of(**other) == Some(address));
            let names: Vec<String> = sharing.map(|other| self.state.name_of(*other)).collect();
            if names.len() > 1 && shared.iter().all(|(known, _)| known != address) {
                let sentence = format!(
                    "{} advertise the same Redis address {address}: clients reach one of them alone; give each \
                     its own --redis-advertise",
                    names.join(" and ")
                );
                shared.push((address.clone(), sentence));
            }
        }
        shared
    }

    fn door_of(&self, node: NodeId) -> Option<&Address> {
        self.state.nodes().get(&node)?.info.redis_address.as_ref()
    }
}
