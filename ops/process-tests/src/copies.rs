//! Whether all copies hold the same, asked of each copy at one position.

use kv_common::command::{Command, Reply};
use kv_common::id::Position;
use kv_common::message::client::{ClientToNode, MarkDigest, NodeToClient};

use crate::link::Link;
use crate::wait::{PATIENCE, wait_until};

/// Has the primary at `primary` mark a position and gives what each node at `members` held there.
///
/// # Panics
/// When one of them does not answer.
pub(crate) fn digests_at_one_position(primary: &str, members: &[&str]) -> Vec<MarkDigest> {
    let at = wait_until("a mark", PATIENCE, || mark(primary));
    let digest = |member: &&str| {
        wait_until(&format!("the digest of {member}"), PATIENCE, || {
            digest_at(member, at)
        })
    };
    members.iter().map(digest).collect()
}

fn mark(primary: &str) -> Result<Position, String> {
    let request = ClientToNode::Request {
        id: 1,
        stamp: None,
        command: Command::Mark,
    };
    match ask(primary, &request)? {
        NodeToClient::Answer {
            result: Ok(Reply::Marked(at)),
            ..
        } => Ok(at),
        other => Err(format!("{primary} answered a mark with {other:?}")),
    }
}

fn digest_at(member: &str, at: Position) -> Result<MarkDigest, String> {
    match ask(member, &ClientToNode::Digest { id: 1, at })? {
        NodeToClient::Digest {
            result: Ok(digest), ..
        } => Ok(digest),
        other => Err(format!("{member} answered for a digest with {other:?}")),
    }
}

fn ask(address: &str, request: &ClientToNode) -> Result<NodeToClient, String> {
    let mut link = Link::as_client(address)?;
    link.send(request);
    let answer = link.receive();
    answer.ok_or_else(|| format!("{address} closed instead of answering"))
}
