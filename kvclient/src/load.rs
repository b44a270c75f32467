//! A closed-loop load: each client asks, waits for the answer, and asks again. Measures, goes on
//! through failovers, and can check that what was acknowledged is there.

mod increments;
mod lane;
mod ledger;
mod meter;
mod options;
mod report;
mod verification;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::meter::Meter;
pub use self::options::LoadOptions;
pub use self::report::{Latency, LoadReport};
pub use self::verification::Verification;

use self::lane::Lane;
use self::ledger::Ledger;
use crate::client::Client;

/// Makes load for as long as `options` say. `meter` can be read meanwhile. Each of the load's
/// clients has a connection and a session of its own.
pub async fn run(client: &Client, options: &LoadOptions, meter: &Arc<Meter>) -> LoadReport {
    let ledger = Arc::new(Ledger::new(options));
    let mut clients = Vec::new();
    let mut lanes = Vec::new();
    for number in 0..options.clients {
        let sibling = client.sibling();
        for in_flight in 0..options.pipeline {
            let lane = Lane::new(
                sibling.clone(),
                options,
                number * options.pipeline + in_flight,
                Arc::clone(&ledger),
                Arc::clone(meter),
            );
            lanes.push(lane);
        }
        clients.push(sibling);
    }
    // Reads of keys that are not there yet would measure little.
    if options.read_share > 0.0 && !options.verify {
        lanes = side_by_side(lanes, Lane::fill).await;
    }
    meter.start();
    let until = Instant::now() + options.duration;
    let lanes = side_by_side(lanes, |lane| lane.run(until)).await;
    let elapsed = meter.stop();
    let verification = if options.verify {
        let findings = verification::verify(lanes, &ledger, meter).await;
        Some(findings)
    } else {
        None
    };
    for client in clients {
        client.close().await;
    }
    meter.report(elapsed, verification)
}

async fn side_by_side<F>(lanes: Vec<Lane>, run: impl Fn(Lane) -> F) -> Vec<Lane>
where
    F: Future<Output = Lane> + Send + 'static,
{
    lanes
        .into_iter()
        .map(run)
        .collect::<JoinSet<_>>()
        .join_all()
        .await
}
