//! What a transaction does to the node, and when.

use process_tests::{Cluster, PATIENCE, RespConnection, wait_until};

/// Queues requests, one a line with words between spaces, and executes them.
fn transact(client: &mut RespConnection, requests: &[&str]) -> String {
    assert_eq!(client.ask(&["MULTI"]), "+OK");
    for request in requests {
        let words: Vec<&str> = request.split(' ').collect();
        assert_eq!(client.ask(&words), "+QUEUED", "{request}");
    }
    client.ask(&["EXEC"])
}

#[test]
fn a_transaction_publishes_when_it_is_done_and_not_when_it_fails() {
    let cluster = Cluster::with_redis_doors(1);
    let address = cluster.redis_address("node-1");
    let mut client = RespConnection::connect(&address);
    let mut listener = RespConnection::connect(&address);
    listener.ask(&["SUBSCRIBE", "news"]);
    assert_eq!(client.ask(&["WATCH", "k"]), "+OK");
    assert_eq!(
        RespConnection::connect(&address).ask(&["SET", "k", "other"]),
        "+OK"
    );
    let failed = transact(&mut client, &["SET k v", "PUBLISH news failed"]);
    assert_eq!(failed, "*-1");
    let done = transact(
        &mut client,
        &["PUBLISH news first", "INCR n", "PUBLISH nobody x"],
    );
    assert_eq!(done, "*[:1, :1, :0]");
    let without_keys = transact(&mut client, &["PUBLISH news second"]);
    assert_eq!(without_keys, "*[:1]");
    for word in ["first", "second"] {
        let heard = listener.receive().expect("hears");
        assert_eq!(heard, format!(r#"*[$"message", $"news", $"{word}"]"#));
    }
}

#[test]
fn waiting_within_a_transaction_counts_and_does_not_wait() {
    let cluster = Cluster::with_redis_doors(3);
    let mut client = RespConnection::connect(&cluster.redis_address(&cluster.primary()));
    // More copies than there are, and for ever.
    let done = transact(&mut client, &["SET k v", "WAIT 9 0", "WAITAOF 1 9 0"]);
    assert_eq!(done, "*[+OK, :2, *[:1, :2]]");
    let without_keys = transact(&mut client, &["WAIT 9 0"]);
    assert_eq!(without_keys, "*[:2]");
}

#[test]
fn a_transaction_closes_connections_and_has_the_text_written() {
    let mut cluster = Cluster::with_redis_doors(1);
    let address = cluster.redis_address("node-1");
    let mut client = RespConnection::connect(&address);
    let mut other = RespConnection::connect(&address);
    let id = other.ask(&["CLIENT", "ID"]);
    let kill = format!("CLIENT KILL ID {}", &id[1..]);
    let done = transact(&mut client, &["SET k v", &kill, "BGSAVE", "GET k"]);
    assert_eq!(done, r#"*[+OK, :1, +Background saving scheduled, $"v"]"#);
    assert_eq!(other.receive(), None, "closed");
    let db_txt = cluster.data_dir("node-1").join("db.txt");
    wait_until("db.txt to be written", PATIENCE, || {
        let text = std::fs::read_to_string(&db_txt).map_err(|error| error.to_string())?;
        text.starts_with("k v\n").then_some(()).ok_or(text)
    });
    let own = client.ask(&["CLIENT", "ID"]);
    let kill = format!("CLIENT KILL ID {} SKIPME no", &own[1..]);
    let done = transact(&mut client, &["SET k w", &kill]);
    assert_eq!(done, "*[+OK, :1]", "its own answer goes first");
    assert_eq!(client.receive(), None, "closed");
    cluster.stop_node("node-1");
}
