//! One request on its way through its command's function.

use bytes::Bytes;
use kv_resp::{integer, unsigned};

use crate::connection::State;
use crate::fault::Fault;
use crate::host::Host;
use crate::settings::Settings;
use crate::table::Spec;

/// One request on its way through its command's function.
pub(crate) struct Call<'a> {
    pub(crate) spec: &'static Spec,
    /// The command's name first.
    pub(crate) arguments: &'a [Bytes],
    pub(crate) state: &'a mut State,
    pub(crate) host: &'a dyn Host,
    /// As the commands before it in a transaction leave them, which the node does behind it.
    pub(crate) settings: &'a Settings,
}

impl Call<'_> {
    /// The name as errors show it.
    pub(crate) fn name(&self) -> &'static str {
        self.spec.name
    }

    pub(crate) fn count(&self) -> usize {
        self.arguments.len()
    }

    /// The argument at a place that the arity has been checked for.
    pub(crate) fn bytes(&self, index: usize) -> Result<Bytes, Fault> {
        self.arguments
            .get(index)
            .cloned()
            .ok_or_else(|| Fault::arity(self.spec.name))
    }

    /// An argument as a word in upper case; empty when it is not there.
    pub(crate) fn word(&self, index: usize) -> String {
        let word = self.arguments.get(index).map_or(&[][..], |word| &word[..]);
        String::from_utf8_lossy(word).to_ascii_uppercase()
    }

    pub(crate) fn is_word(&self, index: usize, word: &str) -> bool {
        self.arguments
            .get(index)
            .is_some_and(|given| given.eq_ignore_ascii_case(word.as_bytes()))
    }

    pub(crate) fn integer(&self, index: usize) -> Result<i64, Fault> {
        integer(&self.bytes(index)?).ok_or(Fault::NO_INTEGER)
    }

    pub(crate) fn unsigned(&self, index: usize, fault: Fault) -> Result<u64, Fault> {
        unsigned(&self.bytes(index)?).ok_or(fault)
    }

    /// All arguments from a place on.
    pub(crate) fn rest(&self, from: usize) -> Vec<Bytes> {
        self.arguments.iter().skip(from).cloned().collect()
    }
}
