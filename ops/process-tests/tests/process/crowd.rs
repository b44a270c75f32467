//! Clients that come in thousands: they wait for each other, the cluster does not wait for them.

use process_tests::{Cluster, RespConnection, clients_that_fit};

/// A turn of each keeps a node busy for longer than other nodes may be silent.
const CLIENTS: usize = 2_000;
const REQUESTS_OF_EACH: usize = 100;

/// Has a crowd ask `node` for writes, all at once, and expects this answer each time. Nothing else is to happen.
fn expect_crowd_to_be_served(cluster: &Cluster, node: &str, expected: &str) {
    let before = cluster.wait_for_in_sync(3);
    let address = cluster.redis_address(node);
    let clients = clients_that_fit(CLIENTS).max(100);
    let mut crowd: Vec<RespConnection> = (0..clients)
        .map(|_| RespConnection::connect(&address))
        .collect();
    for (number, client) in crowd.iter_mut().enumerate() {
        let write = format!("*3\r\n$3\r\nSET\r\n$8\r\nkey-{number:04}\r\n$5\r\nvalue\r\n");
        assert!(client.send_bytes(write.repeat(REQUESTS_OF_EACH).as_bytes()));
    }
    for (number, client) in crowd.iter_mut().enumerate() {
        for request in 0..REQUESTS_OF_EACH {
            let answer = client.receive().unwrap_or_default();
            assert!(
                answer.starts_with(expected),
                "{request} of {number}: {answer}"
            );
        }
    }
    let after = cluster.wait_for_in_sync(3);
    assert_eq!(after.epoch(), before.epoch());
}

#[test]
fn a_crowd_at_the_primary_does_not_cost_the_backups_their_place() {
    let cluster = Cluster::with_redis_doors(3);
    expect_crowd_to_be_served(&cluster, &cluster.primary(), "+OK");
}

#[test]
fn a_crowd_at_a_backup_does_not_cost_it_its_place() {
    let cluster = Cluster::with_redis_doors(3);
    expect_crowd_to_be_served(&cluster, &cluster.backup(), "-READONLY ");
}
