//! Orders to the cluster.

use kv_common::id::Epoch;
use kv_common::message::registry::Order;

use super::Context;
use super::arguments::AdminOrder;
use super::failure::{Failure, Verdict};
use super::output::Object;

pub(crate) async fn run(context: &mut Context, order: AdminOrder) -> Result<Verdict, Failure> {
    let order = match order {
        AdminOrder::Switchover { node } => Order::Switchover { to: node },
        AdminOrder::Drain { node } => Order::Drain { node },
        AdminOrder::Undrain { node } => Order::Undrain { node },
        AdminOrder::Forget { node } => Order::Forget { node },
        AdminOrder::Form { from } => Order::Form { from },
        AdminOrder::ForcePrimary {
            node,
            accept_loss: _,
            epoch,
        } => Order::ForcePrimary {
            node,
            confirmed_epoch: epoch.map(Epoch),
        },
        AdminOrder::AdoptViews {
            node_count,
            accept_loss,
        } => Order::AdoptViews {
            nodes: node_count.unwrap_or_default(),
            accepts_loss: accept_loss,
        },
        AdminOrder::Dump { node } => return dump(context, node.as_deref()).await,
    };
    let done = context.client.order(order).await?;
    let object = Object::new().with("done", done.clone());
    context.output.either(done, &object)?;
    Ok(Verdict::Done)
}

async fn dump(context: &mut Context, node: Option<&str>) -> Result<Verdict, Failure> {
    let written = context.client.dump(node).await?;
    let text = format!(
        "wrote {} pairs, {} bytes, at position {} to {}",
        written.keys, written.bytes, written.at, written.path
    );
    let object = Object::new()
        .with("path", written.path)
        .with("keys", written.keys)
        .with("bytes", written.bytes)
        .with("at", written.at.to_string());
    context.output.either(text, &object)?;
    Ok(Verdict::Done)
}
