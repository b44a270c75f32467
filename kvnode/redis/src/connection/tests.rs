use bytes::Bytes;
use kv_common::command::{Command, Reply};
use kv_common::edit::Fingerprint;
use kv_common::refusal::Refusal;
use kv_common::time::UnixMs;
use kv_resp::{Password, Protocol, Value};

use super::{Connection, ConnectionInfo, Turn};
use crate::host::{ClientLine, Heard, Host, NodeFacts, Role};
use crate::plan::Plan;
use crate::server_state::ServerState;
use crate::shape::{Piece, Shape};
use crate::table::TABLE;
use crate::transaction::QUEUE_MAX_BYTES;

/// A primary without clients.
#[derive(Default)]
struct Node {
    server: ServerState,
    is_backup: bool,
}

impl Host for Node {
    fn facts(&self) -> NodeFacts {
        NodeFacts {
            run_id: "0".repeat(40),
            version: "0",
            process_id: 1,
            port: 6379,
            uptime_ms: 0,
            role: Role::Primary,
            is_taking_over: false,
            replicas: Vec::new(),
            copies_in_step: 0,
            applied: 0,
            appended: 0,
            keys: 0,
            expiring_keys: 0,
            clients: 1,
            connections_total: 1,
            commands_total: 1,
            saved_at: UnixMs(0),
            saves: false,
            fails_over: false,
            is_leaving: false,
            flushes_always: true,
        }
    }

    fn is_primary(&self) -> bool {
        !self.is_backup
    }

    fn now(&self) -> UnixMs {
        UnixMs(1_000_000)
    }

    fn now_micros(&self) -> u64 {
        1_000_000_000
    }

    fn memory_bytes(&self) -> u64 {
        0
    }

    fn random(&self) -> u64 {
        4
    }

    fn heard(&self) -> Heard {
        Heard::default()
    }

    fn clients(&self) -> Vec<ClientLine> {
        Vec::new()
    }

    fn server(&self) -> &ServerState {
        &self.server
    }
}

fn connection() -> Connection {
    Connection::new(ConnectionInfo {
        id: 7,
        peer: "h:1".to_owned(),
        local: "h:2".to_owned(),
        since: UnixMs(0),
    })
}

fn turn(connection: &mut Connection, line: &str) -> Turn {
    let arguments: Vec<Bytes> = line
        .split(' ')
        .map(|word| Bytes::copy_from_slice(word.as_bytes()))
        .collect();
    connection.request(&Node::default(), &arguments)
}

/// The answer to a request that the core is not asked about.
fn answer(connection: &mut Connection, line: &str) -> Value {
    match turn(connection, line).plan {
        Plan::Answer(value) => value,
        other => panic!("{line}: {other:?}"),
    }
}

fn asked(connection: &mut Connection, line: &str) -> (Command, Shape) {
    match turn(connection, line).plan {
        Plan::Ask(command, shape) => (command, shape),
        other => panic!("{line}: {other:?}"),
    }
}

fn error(text: &'static str) -> Value {
    Value::error(text)
}

#[test]
fn queued_commands_become_one_command_and_each_answer_finds_its_place() {
    let mut connection = connection();
    assert_eq!(answer(&mut connection, "MULTI"), Value::OK);
    for line in ["INCR n", "ECHO hi", "SET k v EX 0", "GET k"] {
        assert_eq!(
            answer(&mut connection, line),
            Value::Status("QUEUED".into())
        );
    }
    let (command, shape) = asked(&mut connection, "EXEC");
    let Command::Transaction { guards, commands } = command else {
        panic!("no transaction: {command:?}");
    };
    assert!(guards.is_empty());
    assert_eq!(commands.len(), 2, "those that need keys");
    let replies = vec![Ok(Reply::Integer(1)), Err(Refusal::NotANumber)];
    let value = connection.finish(&shape, Ok(Reply::Many(replies)), true);
    let expected = vec![
        Value::Integer(1),
        Value::bulk("hi"),
        error("ERR invalid expire time in 'set' command"),
        error("ERR value is not an integer or out of range"),
    ];
    assert_eq!(value, Value::Array(expected));
    assert_eq!(
        answer(&mut connection, "EXEC"),
        error("ERR EXEC without MULTI")
    );
}

#[test]
fn a_request_that_cannot_be_queued_spoils_the_transaction() {
    for line in [
        "GET",
        "NOSUCH a",
        "SAVE",
        "SUBSCRIBE a",
        "CLIENT NOSUCH",
        "CONFIG GET",
        "OBJECT FREQ",
    ] {
        let mut connection = connection();
        answer(&mut connection, "MULTI");
        assert!(answer(&mut connection, line).is_error(), "{line}");
        answer(&mut connection, "GET k");
        let aborted = error("EXECABORT Transaction discarded because of previous errors.");
        assert_eq!(answer(&mut connection, "EXEC"), aborted, "{line}");
        asked(&mut connection, "GET k");
    }
}

#[test]
fn a_node_that_is_not_primary_says_so_when_commands_are_queued() {
    let backup = Node {
        is_backup: true,
        ..Node::default()
    };
    let mut connection = connection();
    let mut told = |line: &str| {
        let arguments: Vec<Bytes> = line.split(' ').map(|word| word.to_owned().into()).collect();
        match connection.request(&backup, &arguments).plan {
            Plan::Answer(Value::Error(text)) => text[..text.find(' ').unwrap_or(0)].to_owned(),
            Plan::Answer(Value::Status(text)) => text.into_owned(),
            other => format!("{other:?}"),
        }
    };
    for (line, expected) in [
        ("MULTI", "OK"),
        ("PING", "QUEUED"),
        ("SET k v", "READONLY"),
        ("GET k", "MASTERDOWN"),
        ("EXEC", "EXECABORT"),
        ("READONLY", "OK"),
        ("MULTI", "OK"),
        ("GET k", "QUEUED"),
        ("DEL k", "READONLY"),
        ("EXEC", "EXECABORT"),
    ] {
        assert_eq!(told(line), expected, "{line}");
    }
}

#[test]
fn a_queue_is_bounded() {
    let mut connection = connection();
    answer(&mut connection, "MULTI");
    let large = Bytes::from(vec![b'x'; QUEUE_MAX_BYTES / 2]);
    let append = ["APPEND", "k"].map(Bytes::from);
    let request = [&append[..], &[large]].concat();
    connection.request(&Node::default(), &request);
    connection.request(&Node::default(), &request);
    assert!(matches!(answer(&mut connection, "EXEC"), Value::Error(_)));
}

#[test]
fn the_answers_of_a_transaction_are_bounded() {
    let mut connection = connection();
    answer(&mut connection, "MULTI");
    for _ in 0..10_000 {
        answer(&mut connection, "COMMAND");
    }
    let text = "EXECABORT Transaction discarded because of: the answers are too large";
    assert_eq!(answer(&mut connection, "EXEC"), error(text));
    assert_eq!(answer(&mut connection, "MULTI"), Value::OK, "it is over");
}

#[test]
fn a_transaction_compares_values_only_so_often() {
    let mut connection = connection();
    for (count, is_refused) in [(32, false), (33, true)] {
        answer(&mut connection, "MULTI");
        for _ in 0..count {
            answer(&mut connection, "LCS a b");
        }
        let plan = turn(&mut connection, "EXEC").plan;
        assert_eq!(matches!(plan, Plan::Answer(_)), is_refused, "{count}");
    }
}

#[test]
fn a_setting_is_told_as_the_transaction_leaves_it() {
    let mut connection = connection();
    answer(&mut connection, "MULTI");
    for line in [
        "CONFIG GET slowlog-max-len",
        "CONFIG SET slowlog-max-len 9",
        "CONFIG GET slowlog-max-len",
    ] {
        answer(&mut connection, line);
    }
    let Plan::Transact(pieces) = turn(&mut connection, "EXEC").plan else {
        panic!("it asks nothing of the core");
    };
    let told = |value: &'static str| {
        let pair = (Value::bulk("slowlog-max-len"), Value::bulk(value));
        Value::Map(vec![pair])
    };
    let [
        Piece::Answered(before),
        Piece::Act(_),
        Piece::Answered(behind),
    ] = &pieces[..]
    else {
        panic!("{pieces:?}");
    };
    assert_eq!((before, behind), (&told("128"), &told("9")));
    let Plan::Answer(outside) = turn(&mut connection, "CONFIG GET slowlog-max-len").plan else {
        panic!("it is answered");
    };
    assert_eq!(outside, told("128"), "the node does it");
}

#[test]
fn what_is_watched_guards_the_next_transaction_alone() {
    let mut connection = connection();
    let (command, shape) = asked(&mut connection, "WATCH a b a");
    let keys = ["a", "b"].map(Bytes::from).to_vec();
    assert_eq!(command, Command::Fingerprints { keys }, "each once");
    let prints = [1, 2].map(Fingerprint).to_vec();
    let watched = connection.finish(&shape, Ok(Reply::Fingerprints(prints)), false);
    assert_eq!(watched, Value::OK);
    let (again, shape) = asked(&mut connection, "WATCH b b");
    assert_eq!(again, Command::Fingerprints { keys: Vec::new() });
    connection.finish(&shape, Ok(Reply::Fingerprints(Vec::new())), false);
    for expected in [2, 0] {
        answer(&mut connection, "MULTI");
        answer(&mut connection, "INCR n");
        let (command, shape) = asked(&mut connection, "EXEC");
        let Command::Transaction { guards, .. } = command else {
            panic!("no transaction: {command:?}");
        };
        assert_eq!(guards.len(), expected);
        let failed = connection.finish(&shape, Ok(Reply::ConditionFailed), true);
        assert_eq!(failed, Value::NullArray);
    }
}

#[test]
fn a_refusal_of_a_whole_transaction_says_why() {
    let mut connection = connection();
    answer(&mut connection, "MULTI");
    answer(&mut connection, "INCR n");
    let (_, shape) = asked(&mut connection, "EXEC");
    let refusal = Refusal::TooFewInSync { have: 1, need: 2 };
    let told = connection.finish(&shape, Err(refusal), true);
    let text = "EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to \
                write.";
    assert_eq!(told, error(text));
    let told = connection.finish(&shape, Err(Refusal::OutcomeUnknown), true);
    assert!(matches!(told, Value::Error(text) if text.contains("unknown")));
}

#[test]
fn replies_can_be_turned_off_and_skipped() {
    let mut connection = connection();
    let is_answered: Vec<bool> = [
        "CLIENT REPLY SKIP",
        "PING",
        "PING",
        "CLIENT REPLY OFF",
        "PING",
        "CLIENT REPLY SKIP",
        "PING",
        "CLIENT REPLY ON",
        "PING",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY SKIP",
        "PING",
        "PING",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY ON",
    ]
    .map(|line| turn(&mut connection, line).is_answered)
    .into();
    let expected = [
        false, false, true, false, false, false, false, true, true, false, false, false, true,
        false, true,
    ];
    assert_eq!(is_answered, expected);
}

#[test]
fn a_reset_takes_everything_back() {
    let mut connection = connection();
    turn(&mut connection, "HELLO 3 SETNAME me");
    turn(&mut connection, "READONLY");
    turn(&mut connection, "MULTI");
    assert_eq!(turn(&mut connection, "PING").protocol, Protocol::Resp3);
    turn(&mut connection, "RESET");
    assert!(!connection.reads_replica());
    assert_eq!(turn(&mut connection, "PING").protocol, Protocol::Resp2);
    assert_eq!(answer(&mut connection, "CLIENT GETNAME"), Value::Null);
    assert_eq!(
        answer(&mut connection, "EXEC"),
        error("ERR EXEC without MULTI")
    );
}

#[test]
fn a_refused_hello_changes_nothing() {
    let mut connection = connection();
    for line in ["HELLO 4", "HELLO x", "HELLO 3 SETNAME", "HELLO 3 AUTH a b"] {
        assert!(answer(&mut connection, line).is_error(), "{line}");
        assert_eq!(connection.protocol(), Protocol::Resp2, "{line}");
    }
}

#[test]
fn nothing_is_done_before_the_password_is_said() {
    let mut node = Node::default();
    node.server.password = Password::new(b"secret");
    let mut connection = connection();
    let mut told = |line: &str| {
        let arguments: Vec<Bytes> = line.split(' ').map(|word| word.to_owned().into()).collect();
        match connection.request(&node, &arguments).plan {
            Plan::Answer(Value::Error(text)) => text[..text.find(' ').unwrap_or(0)].to_owned(),
            _ => "taken".to_owned(),
        }
    };
    for spec in TABLE {
        let arguments = usize::try_from(spec.arity.abs()).expect("a count");
        let line = [spec.name].into_iter().chain(["x"; 10]).take(arguments);
        let line: Vec<&str> = line.collect();
        let is_free = ["auth", "hello", "quit", "reset"].contains(&spec.name);
        if !is_free {
            assert_eq!(told(&line.join(" ")), "NOAUTH", "{}", spec.name);
        }
    }
    for (line, expected) in [
        ("HELLO 3", "NOAUTH"),
        ("HELLO 3 AUTH default Secret", "WRONGPASS"),
        ("GET k", "NOAUTH"),
        ("HELLO 3 AUTH default secret", "taken"),
        ("GET k", "taken"),
        ("RESET", "taken"),
        ("GET k", "NOAUTH"),
        ("AUTH secret", "taken"),
        ("GET k", "taken"),
    ] {
        assert_eq!(told(line), expected, "{line}");
    }
}
