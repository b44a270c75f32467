//! Several commands as one.

use bytes::Bytes;
use kv_common::command::{Command, Reply};
use kv_common::edit::{Fingerprint, Guard};
use kv_common::refusal::Refusal;
use xxhash_rust::xxh3::Xxh3;

use super::run::{Found, Run, Written};

impl Run<'_> {
    /// Each command sees what the earlier ones wrote. A command that is refused writes nothing, and
    /// the others go on, as Redis has it; what is too large as a whole is refused as a whole.
    pub(super) fn transaction(
        &mut self,
        guards: &[Guard],
        commands: &[Command],
    ) -> Result<Reply, Refusal> {
        self.written = Some(Written::default());
        for guard in guards {
            if self.fingerprint(&guard.key) != guard.fingerprint {
                return Ok(Reply::ConditionFailed);
            }
        }
        let mut replies = Vec::with_capacity(commands.len());
        let mut reply_bytes = 0;
        for command in commands {
            let reply = self.execute(command);
            self.end_part();
            reply_bytes += reply.as_ref().map_or(0, Reply::weight_bytes);
            self.check_bytes(reply_bytes)?;
            replies.push(reply);
        }
        Ok(Reply::Many(replies))
    }

    pub(super) fn fingerprints(&mut self, keys: &[Bytes]) -> Reply {
        Reply::Fingerprints(keys.iter().map(|key| self.fingerprint(key)).collect())
    }

    fn fingerprint(&mut self, key: &Bytes) -> Fingerprint {
        self.find(key)
            .map_or(Fingerprint(0), |found| fingerprint(&found))
    }
}

/// Never 0, which stands for an absent key.
fn fingerprint(found: &Found<'_>) -> Fingerprint {
    let mut hasher = Xxh3::new();
    let expires_at = found.expires_at();
    hasher.update(&[expires_at.is_some().into()]);
    hasher.update(&expires_at.map_or(0, |at| at.0).to_le_bytes());
    hasher.update(found.value());
    Fingerprint(hasher.digest128().max(1))
}
