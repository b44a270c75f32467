//! Commands of Redis that a Redis server of the oldest version does not know, or answers by the hour.

use process_tests::{Cluster, ClusterOptions, RespConnection};

fn one_node() -> (Cluster, RespConnection) {
    let cluster = Cluster::start(ClusterOptions {
        nodes: 1,
        node: ["--redis-listen", "127.0.0.1:0"].map(str::to_owned).into(),
        ..ClusterOptions::default()
    });
    let connection = RespConnection::connect(&cluster.redis_address("node-1"));
    (cluster, connection)
}

/// Sends requests, one a line with words between spaces, and compares what comes.
fn expect(connection: &mut RespConnection, dialogue: &[(&str, &str)]) {
    for (request, reply) in dialogue {
        let words: Vec<&str> = request.split(' ').collect();
        assert_eq!(connection.ask(&words), *reply, "{request}");
    }
}

#[test]
fn a_value_is_set_and_removed_by_what_it_was() {
    let (_cluster, mut connection) = one_node();
    connection.ask(&["SET", "k", "Hello world"]);
    expect(
        &mut connection,
        &[
            ("DIGEST k", r#"$"b6acb9d84a38ff74""#),
            ("DIGEST absent", "$-1"),
            ("SET absent v IFEQ v", "$-1"),
            ("SET absent v IFDEQ b6acb9d84a38ff74", "$-1"),
            ("EXISTS absent", ":0"),
            ("SET k a IFDEQ b6acb9d84a38ff75", "$-1"),
            ("SET k a IFDNE B6ACB9D84A38FF74", "$-1"),
            ("SET k a IFDEQ B6ACB9D84A38FF74 EX 100", "+OK"),
            ("TTL k", ":100"),
            ("SET k b IFNE a GET", r#"$"a""#),
            ("GET k", r#"$"a""#),
            ("SET k b IFNE x GET", r#"$"a""#),
            ("GET k", r#"$"b""#),
            ("SET k c IFDNE 0000000000000000", "+OK"),
            ("SET new a IFNE a", "+OK"),
            ("SET newer a IFDNE 0000000000000000", "+OK"),
            ("SET k a IFEQ c IFNE d", "-ERR syntax error"),
            ("SET k a NX IFDEQ 0000000000000000", "-ERR syntax error"),
            ("SET k a IFEQ", "-ERR syntax error"),
            (
                "SET k a IFDEQ 123",
                "-ERR the digest must be exactly 16 hexadecimal characters",
            ),
            ("DELEX absent IFNE x", ":0"),
            ("DELEX k IFEQ x", ":0"),
            ("DELEX k IFNE c", ":0"),
            ("DELEX k IFDEQ 0000000000000000", ":0"),
            ("DELEX k IFDNE 0000000000000000", ":1"),
            ("DELEX new IFEQ a", ":1"),
            ("DELEX newer", ":1"),
            (
                "DELEX k IFEQ",
                "-ERR wrong number of arguments for 'delex' command",
            ),
            ("DELEX k IFX x", "-ERR syntax error"),
            ("DBSIZE", ":0"),
        ],
    );
}
