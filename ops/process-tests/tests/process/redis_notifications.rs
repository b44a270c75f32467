//! Keyspace notifications, beside those of a Redis server.
//!
//! Not asked, because the events differ: RESTORE, which is told as `set` here; an expiry that is past already;
//! what leaves a key as it was (APPEND of nothing, GETEX with the expiry that it had), which is no event here.

use process_tests::{Cluster, RedisServer, RespConnection};

const MARK: &str = "end";

const REQUESTS: &[&str] = &[
    "SET a 1",
    "SET a 2 EX 1000",
    "SET a 3 KEEPTTL",
    "SET a 4 NX",
    "SET a 4 XX GET",
    "SETNX b 1",
    "SETNX b 1",
    "SETEX c 1000 1",
    "PSETEX c 1000000 1",
    "GETSET c 2",
    "MSET a 1 b 2 a 3",
    "MSETNX a 1 d 2",
    "MSETNX d 1 e 2",
    "APPEND a x",
    "APPEND f x",
    "SETRANGE a 3 y",
    "SETRANGE a 3 ",
    "INCR n",
    "DECRBY n 5",
    "INCR a",
    "INCRBYFLOAT n 1.5",
    "SETBIT bits 3 1",
    "BITFIELD bits SET u4 0 3 INCRBY u4 4 1",
    "BITFIELD bits GET u4 0",
    "BITOP NOT target bits",
    "BITOP AND target nokey nokey",
    "BITOP AND target nokey nokey",
    "EXPIRE a 1000",
    "EXPIRE nokey 1000",
    "EXPIREAT a 4000000000 LT",
    "EXPIREAT a 4000000000 GT",
    "PERSIST a",
    "PERSIST a",
    "GETEX a EX 1000",
    "GETEX a PERSIST",
    "GETEX a",
    "GET a",
    "COPY a g",
    "COPY a g",
    "COPY a g REPLACE",
    "RENAME g h",
    "RENAMENX h a",
    "RENAMENX h i",
    "RENAME i i",
    "GETDEL i",
    "GETDEL i",
    "DEL a nokey b",
    "UNLINK c",
    "EXPIRE d -1",
    "MULTI",
    "SET a 1",
    "INCR a",
    "DEL a",
    "EXEC",
    "MULTI",
    "SET a 1",
    "INCRBY a x",
    "INCR a",
    "GET a",
    "DEL a nokey",
    "EXEC",
    "FLUSHALL",
];

/// A connection that asks, and one that listens to all events and the mark.
struct Pair {
    asks: RespConnection,
    listens: RespConnection,
}

impl Pair {
    fn connect(address: &str, classes: &str) -> Self {
        let mut asks = RespConnection::connect(address);
        let set = ["CONFIG", "SET", "notify-keyspace-events", classes];
        assert_eq!(asks.ask(&set), "+OK");
        let mut listens = RespConnection::connect(address);
        listens.ask(&["PSUBSCRIBE", "__key*"]);
        listens.ask(&["SUBSCRIBE", MARK]);
        Self { asks, listens }
    }

    /// What is heard of a request.
    fn heard(&mut self, request: &[&str]) -> Vec<String> {
        let mut heard = Vec::new();
        let is_queued = self.asks.ask(request) == "+QUEUED";
        if is_queued || request == ["MULTI"] {
            return heard;
        }
        self.asks.ask(&["PUBLISH", MARK, ""]);
        loop {
            let told = self.listens.receive().expect("is told");
            if told.contains(MARK) {
                return heard;
            }
            heard.push(told);
        }
    }
}

#[test]
fn events_are_those_of_redis() {
    let cluster = Cluster::with_redis_doors(1);
    let Some(redis) = RedisServer::start(cluster.folder(), &[]) else {
        return;
    };
    for classes in ["KEA", "Eg", "K$"] {
        let mut theirs = Pair::connect(redis.address(), classes);
        let mut ours = Pair::connect(&cluster.redis_address("node-1"), classes);
        let mut count = 0;
        for request in REQUESTS {
            let words: Vec<&str> = request.split(' ').collect();
            let (ours, theirs) = (ours.heard(&words), theirs.heard(&words));
            assert_eq!(ours, theirs, "{classes}: {request}");
            count += ours.len();
        }
        assert!(count > 10, "{classes}: {count} events");
    }
}

#[test]
fn letters_are_read_and_told_as_redis_does() {
    let cluster = Cluster::with_redis_doors(1);
    let Some(redis) = RedisServer::start(cluster.folder(), &[]) else {
        return;
    };
    let mut theirs = RespConnection::connect(redis.address());
    let mut ours = RespConnection::connect(&cluster.redis_address("node-1"));
    for letters in ["KEA", "KE$", "Ex", "Kg$lshzxetd", "", "E", "KgxA", "xg$KE"] {
        for request in [
            &["CONFIG", "SET", "notify-keyspace-events", letters][..],
            &["CONFIG", "GET", "notify-keyspace-events"],
        ] {
            assert_eq!(ours.ask(request), theirs.ask(request), "{letters}");
        }
    }
    let refused = ours.ask(&["CONFIG", "SET", "notify-keyspace-events", "q"]);
    assert!(
        refused.contains("Invalid event class character"),
        "{refused}"
    );
}

#[test]
fn a_key_that_goes_by_itself_is_told_and_nothing_is_when_it_is_off() {
    let cluster = Cluster::with_redis_doors(1);
    let address = cluster.redis_address("node-1");
    let mut pair = Pair::connect(&address, "Ex");
    assert!(pair.heard(&["SET", "k", "v", "PX", "20"]).is_empty());
    let told = pair.listens.receive().expect("is told by itself");
    assert!(
        told.contains("__keyevent@0__:expired") && told.contains(r#"$"k""#),
        "{told}"
    );
    let off = ["CONFIG", "SET", "notify-keyspace-events", ""];
    assert!(pair.heard(&off).is_empty());
    assert!(pair.heard(&["SET", "k", "v"]).is_empty());
    assert!(pair.heard(&["DEL", "k"]).is_empty());
}

#[test]
fn what_kvclient_writes_is_told_as_well() {
    let cluster = Cluster::with_redis_doors(1);
    let mut pair = Pair::connect(&cluster.redis_address("node-1"), "KA");
    cluster
        .user()
        .done(&["put", "--expires", "1000s", "k", "v"]);
    cluster.user().done(&["delete", "k"]);
    let told: Vec<String> = (0..3)
        .map(|_| pair.listens.receive().expect("is told"))
        .collect();
    for (told, name) in told.iter().zip(["set", "expire", "del"]) {
        let expected = format!(r#"*[$"pmessage", $"__key*", $"__keyspace@0__:k", $"{name}"]"#);
        assert_eq!(*told, expected);
    }
}

/// What the README says of events that Redis tells otherwise.
#[test]
fn what_redis_tells_otherwise_is_told_as_the_readme_says() {
    let cluster = Cluster::with_redis_doors(1);
    let mut pair = Pair::connect(&cluster.redis_address("node-1"), "KA");
    for (request, events) in [
        ("SET a v EXAT 1", &["del"][..]),
        ("SET b x", &["set"]),
        ("APPEND b ", &[]),
        ("SETBIT b 1 1", &["setbit"]),
        ("SETBIT b 1 1", &["setbit"]),
        ("BITFIELD b SET u1 1 1", &["setbit"]),
        ("GETEX b EXAT 4000000000", &["expire"]),
        ("GETEX b EXAT 4000000000", &[]),
    ] {
        let words: Vec<&str> = request.split(' ').collect();
        let heard = pair.heard(&words);
        let ends: Vec<String> = events.iter().map(|name| format!(r#"$"{name}"]"#)).collect();
        assert_eq!(heard.len(), ends.len(), "{request}: {heard:?}");
        let are_meant = heard
            .iter()
            .zip(&ends)
            .all(|(told, end)| told.ends_with(end));
        assert!(are_meant, "{request}: {heard:?}");
    }
}
