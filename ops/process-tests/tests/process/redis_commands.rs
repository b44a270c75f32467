//! Commands of Redis whose answers cannot be compared with those of a server: it is too old for them, or
//! they tell of the server itself.

use process_tests::{Cluster, ClusterOptions, PATIENCE, RespConnection, wait_until};

fn one_node() -> (Cluster, RespConnection) {
    let cluster = Cluster::with_redis_doors(1);
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

#[test]
fn slow_requests_are_remembered_with_who_asked() {
    let (_cluster, mut connection) = one_node();
    let all = [("CONFIG SET slowlog-log-slower-than 0", "+OK")];
    let few = [("CONFIG SET slowlog-max-len 3", "+OK")];
    expect(&mut connection, &all);
    expect(&mut connection, &few);
    connection.ask(&["CLIENT", "SETNAME", "me"]);
    connection.ask(&["SET", "k", &"x".repeat(200)]);
    connection.ask(&["AUTH", "a", "secret"]);
    connection.ask(&["PING"]);
    expect(&mut connection, &[("SLOWLOG LEN", ":3")]);
    let told = connection.ask(&["SLOWLOG", "GET"]);
    // The newest first: SLOWLOG LEN, PING, SET.
    let set = r#"*[$"SET", $"k", $""#.to_owned() + &"x".repeat(128) + r#"... (72 more bytes)"]"#;
    let places = [
        r#"*[$"SLOWLOG", $"LEN"]"#,
        r#"*[$"PING"]"#,
        &set,
        r#"$"me""#,
    ]
    .map(|text| told.find(text).unwrap_or_else(|| panic!("{text}: {told}")));
    assert!(places[..3].is_sorted(), "{told}");
    assert!(!told.contains("secret"), "{told}");
    expect(
        &mut connection,
        &[
            ("CONFIG SET slowlog-log-slower-than -1", "+OK"),
            ("SLOWLOG RESET", "+OK"),
            ("GET k2", "$-1"),
            ("SLOWLOG LEN", ":0"),
        ],
    );
    let within = "MULTI|CONFIG SET slowlog-max-len 9|CONFIG GET slowlog-max-len|SET k v|EXEC";
    let answers: Vec<String> = within
        .split('|')
        .map(|request| connection.ask(&request.split(' ').collect::<Vec<_>>()))
        .collect();
    assert_eq!(
        answers[4], r#"*[+OK, *[$"slowlog-max-len", $"9"], +OK]"#,
        "each sees what those before it changed"
    );
    let got = connection.ask(&["CONFIG", "GET", "slowlog-max-len"]);
    assert_eq!(got, r#"*[$"slowlog-max-len", $"9"]"#);
}

#[test]
fn every_command_with_subcommands_has_help() {
    let (_cluster, mut connection) = one_node();
    for name in [
        "CLIENT", "COMMAND", "CONFIG", "FUNCTION", "LATENCY", "MEMORY", "OBJECT", "PUBSUB",
        "SLOWLOG",
    ] {
        let told = connection.ask(&[name, "HELP"]);
        let first = format!("*[+{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:, ");
        assert!(told.starts_with(&first), "{told}");
        assert!(told.ends_with("+HELP, +    Prints this help.]"), "{told}");
    }
}

#[test]
fn clients_are_listed_by_what_they_are() {
    let (cluster, mut connection) = one_node();
    let mut listener = RespConnection::connect(&cluster.redis_address("node-1"));
    let id = listener.ask(&["CLIENT", "ID"])[1..].to_owned();
    listener.ask(&["SUBSCRIBE", "a"]);
    let all = connection.ask(&["CLIENT", "LIST"]);
    assert_eq!(all.matches("id=").count(), 2, "{all}");
    for words in [
        &["CLIENT", "LIST", "TYPE", "PUBSUB"][..],
        &["CLIENT", "LIST", "ID", &id, &id],
    ] {
        let told = connection.ask(words);
        assert!(told.contains(&format!("id={id} ")), "{told}");
        assert_eq!(told.matches("id=").count(), 1, "{told}");
    }
    let normal = connection.ask(&["CLIENT", "LIST", "TYPE", "NORMAL"]);
    assert!(!normal.contains(&format!("id={id} ")), "{normal}");
    assert_eq!(normal.matches("id=").count(), 1, "{normal}");
}

#[test]
fn a_sleep_that_is_allowed_holds_up_its_own_connection_alone() {
    let cluster = Cluster::start(ClusterOptions {
        nodes: 1,
        node: [
            "--redis-listen=127.0.0.1:0",
            "--redis-enable-debug-command=local",
        ]
        .map(str::to_owned)
        .into(),
        ..ClusterOptions::default()
    });
    let address = cluster.redis_address("node-1");
    let mut sleeper = RespConnection::connect(&address);
    let mut other = RespConnection::connect(&address);
    expect(
        &mut sleeper,
        &[
            ("DEBUG SLEEP 0", "+OK"),
            ("DEBUG SLEEP x", "-ERR DEBUG SLEEP takes 0 to 3600 seconds"),
            ("DEBUG SLEEP -1", "-ERR DEBUG SLEEP takes 0 to 3600 seconds"),
            (
                "DEBUG FOO",
                "-ERR unknown subcommand or wrong number of arguments for 'FOO'. Try DEBUG HELP.",
            ),
            ("SET k asleep", "+OK"),
        ],
    );
    let id = sleeper.ask(&["CLIENT", "ID"])[1..].to_owned();
    sleeper.send(&["DEBUG", "SLEEP", "0.01"]);
    sleeper.send(&["DEBUG", "SLEEP", "3600"]);
    sleeper.send(&["SET", "k", "awake"]);
    assert_eq!(sleeper.receive().as_deref(), Some("+OK"), "the short one");
    expect(&mut other, &[("GET k", r#"$"asleep""#)]);
    let kill = format!("CLIENT KILL ID {id}");
    expect(&mut other, &[(&kill, ":1")]);
    assert_eq!(sleeper.receive(), None, "closed in its sleep");
    expect(&mut other, &[("GET k", r#"$"asleep""#)]);
    let mut gone = RespConnection::connect(&address);
    gone.ask(&["CLIENT", "SETNAME", "gone"]);
    gone.send(&["DEBUG", "SLEEP", "3600"]);
    gone.send(&["SET", "k", "awake"]);
    drop(gone);
    wait_until("the sleeper to be forgotten", PATIENCE, || {
        let told = other.ask(&["CLIENT", "LIST"]);
        if told.contains("name=gone") {
            Err(told)
        } else {
            Ok(())
        }
    });
    expect(&mut other, &[("GET k", r#"$"asleep""#)]);
}

#[test]
fn who_sends_nothing_more_is_still_answered() {
    let (_cluster, mut connection) = one_node();
    for _ in 0..20_000 {
        connection.send(&["INCR", "n"]);
    }
    connection.send(&["WATCH", "n"]);
    connection.send(&["GET", "n"]);
    connection.end_sending();
    for number in 1..=20_000 {
        assert_eq!(connection.receive(), Some(format!(":{number}")));
    }
    assert_eq!(connection.receive().as_deref(), Some("+OK"));
    assert_eq!(connection.receive().as_deref(), Some(r#"$"20000""#));
    assert_eq!(connection.receive(), None);
}
