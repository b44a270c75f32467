//! Redis clients that change who is primary, or end a node.

use process_tests::{Cluster, PATIENCE, RedisServer, RespConnection, wait_until};

/// What is wrong about these is found in the same words by a node alone and by a server alone.
const MISTAKES: &[&str] = &[
    "FAILOVER",
    "FAILOVER ABORT",
    "FAILOVER TO",
    "FAILOVER TO a",
    "FAILOVER TO a 1",
    "FAILOVER TO a x",
    "FAILOVER TO a 1 TO b 1",
    "FAILOVER TIMEOUT 0",
    "FAILOVER TIMEOUT x",
    "FAILOVER TIMEOUT",
    "FAILOVER FOO",
    "FAILOVER FORCE",
    "FAILOVER ABORT TO a 1",
    "SHUTDOWN FOO",
    "SHUTDOWN ABORT",
    "SHUTDOWN SAVE NOSAVE",
    "SHUTDOWN ABORT NOW",
    "MULTI",
    "SHUTDOWN",
    "FAILOVER",
    "EXEC",
];

#[test]
fn mistakes_are_told_as_redis_tells_them() {
    let cluster = Cluster::with_redis_doors(1);
    let Some(redis) = RedisServer::start(cluster.folder(), &[]) else {
        return;
    };
    let mut theirs = RespConnection::connect(redis.address());
    let mut ours = RespConnection::connect(&cluster.redis_address("node-1"));
    for request in MISTAKES {
        let words: Vec<&str> = request.split(' ').collect();
        assert_eq!(ours.ask(&words), theirs.ask(&words), "{request}");
    }
}

#[test]
fn a_failover_goes_to_the_replica_that_is_named() {
    let cluster = Cluster::with_redis_doors(3);
    let first = cluster.primary();
    let others = cluster.names().into_iter().filter(|name| *name != first);
    let [second, third] = &others.collect::<Vec<_>>()[..] else {
        panic!("three nodes");
    };
    let mut replica = RespConnection::connect(&cluster.redis_address(second));
    assert_eq!(
        replica.ask(&["FAILOVER"]),
        "-ERR FAILOVER is not valid when server is a replica."
    );
    let mut client = RespConnection::connect(&cluster.redis_address(&first));
    assert_eq!(client.ask(&["SET", "a", "1"]), "+OK");
    // Twice from the same node, to different ones: a choice of the coordinator's own would be the same.
    for (from, to) in [(&first, second), (second, &first), (&first, third)] {
        cluster.wait_for_in_sync(3);
        let address = cluster.redis_address(to);
        let (host, port) = address.split_once(':').expect("host and port");
        let mut client = RespConnection::connect(&cluster.redis_address(from));
        assert_eq!(
            client.ask(&["FAILOVER", "TO", "nowhere", "1"]),
            "-ERR FAILOVER target HOST and PORT is not a replica."
        );
        let forced = client.ask(&["FAILOVER", "TO", host, port, "FORCE", "TIMEOUT", "1000"]);
        assert!(forced.contains("is never done"), "{forced}");
        assert_eq!(&cluster.primary(), from);
        assert_eq!(client.ask(&["FAILOVER", "TO", host, port]), "+OK");
        assert_eq!(
            client.receive(),
            None,
            "closed: the node is primary no more"
        );
        let next = cluster.wait_for_other_primary(from).primary();
        assert_eq!(next.as_ref(), Some(to));
    }
    let mut client = RespConnection::connect(&cluster.redis_address(third));
    assert_eq!(client.ask(&["GET", "a"]), "$\"1\"");
    cluster.wait_for_in_sync(3);
    assert_eq!(client.ask(&["FAILOVER"]), "+OK", "to any");
    cluster.wait_for_other_primary(third);
    let events = cluster.user().done(&["events"]);
    assert_eq!(events.matches("failover:").count(), 0, "{events}");
}

#[test]
fn a_failover_without_a_coordinator_is_refused_and_can_be_asked_for_again() {
    let mut cluster = Cluster::with_redis_doors(2);
    let mut client = RespConnection::connect(&cluster.redis_address(&cluster.primary()));
    cluster.kill_coordinator();
    for _ in 0..2 {
        let told = client.ask(&["FAILOVER"]);
        assert!(
            told.starts_with("-ERR no coordinator was reached"),
            "{told}"
        );
    }
    assert_eq!(client.ask(&["SET", "a", "1"]), "+OK");
}

#[test]
fn a_primary_that_a_client_shuts_down_hands_over_first() {
    let mut cluster = Cluster::with_redis_doors(3);
    let former = cluster.primary();
    let mut client = RespConnection::connect(&cluster.redis_address(&former));
    assert_eq!(client.ask(&["SET", "a", "1"]), "+OK");
    client.send(&["SHUTDOWN", "NOSAVE", "NOW"]);
    assert_eq!(client.receive(), None, "no answer");
    cluster.wait_for_end_of(&former);
    let next = cluster.wait_for_other_primary(&former).primary();
    let next = next.expect("one");
    let mut client = RespConnection::connect(&cluster.redis_address(&next));
    wait_until("the next primary to serve", PATIENCE, || {
        match client.ask(&["GET", "a"]).as_str() {
            "$\"1\"" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    let events = cluster.user().done(&["events"]);
    assert_eq!(events.matches("is about to stop").count(), 1, "{events}");
    assert_eq!(events.matches("failover:").count(), 0, "{events}");
}

#[test]
fn a_client_says_whether_the_text_is_written_at_the_stop() {
    let mut cluster = Cluster::with_redis_doors(1);
    let text = cluster.data_dir("node-1").join("db.txt");
    let mut client = RespConnection::connect(&cluster.redis_address("node-1"));
    assert_eq!(client.ask(&["SET", "a", "1"]), "+OK");
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(client.receive(), None);
    cluster.wait_for_end_of("node-1");
    assert!(!text.exists(), "NOSAVE");
    cluster.start_node("node-1");
    let mut client = RespConnection::connect(&cluster.redis_address("node-1"));
    wait_until("the node to serve", PATIENCE, || {
        match client.ask(&["GET", "a"]).as_str() {
            "$\"1\"" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    client.send(&["SHUTDOWN"]);
    assert_eq!(client.receive(), None);
    cluster.wait_for_end_of("node-1");
    let written = std::fs::read_to_string(&text).expect("it is written");
    assert!(written.starts_with("a 1\n"), "{written}");
}
