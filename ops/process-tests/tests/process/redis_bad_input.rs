//! Redis clients that send nonsense, too much, or nothing, or do not read what they asked for: what they cost a
//! node is bounded, and whoever behaves is answered meanwhile.

use std::thread;

use process_tests::{Cluster, RespConnection, clients_that_fit};

/// What a node that holds little has in memory at most, whatever its Redis clients do: 1 GiB of what they do not
/// read, 1 GiB of what they do not finish, and half of that for all else.
const MEMORY_MAX_BYTES: u64 = 5 << 29;
/// A million of what is small.
const MANY: usize = 1_000_000;

/// A node, and a client of it that behaves.
struct Node {
    cluster: Cluster,
    address: String,
    good: RespConnection,
}

impl Node {
    fn start() -> Self {
        let cluster = Cluster::with_redis_doors(1);
        let address = cluster.redis_address("node-1");
        let good = RespConnection::connect(&address);
        Self {
            cluster,
            address,
            good,
        }
    }

    fn connect(&self) -> RespConnection {
        RespConnection::connect(&self.address)
    }

    fn set(&self, key: &str, value: &[u8]) {
        let request = [b"SET", key.as_bytes(), value];
        assert_eq!(self.connect().ask(&request), "+OK");
    }

    /// The client that behaves is answered, and the memory is within its bound.
    fn expect_well(&mut self) {
        assert_eq!(self.good.ask(&["SET", "good", "client"]), "+OK");
        assert_eq!(self.good.ask(&["GET", "good"]), r#"$"client""#);
        let most = self.cluster.node("node-1").peak_memory();
        assert!(most <= MEMORY_MAX_BYTES, "{} MiB", most >> 20);
    }

    /// How many clients are connected, the one that behaves among them.
    fn clients(&mut self) -> usize {
        self.good.ask(&["CLIENT", "LIST"]).matches("id=").count()
    }
}

/// The bytes of so many equal requests.
fn requests(words: &[&str], count: usize) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    request.repeat(count).into_bytes()
}

#[test]
fn large_replies_that_nobody_reads_are_bounded() {
    let mut node = Node::start();
    node.set("large", &vec![b'x'; 64 << 20]);
    let mut readers: Vec<RespConnection> = (0..40).map(|_| node.connect()).collect();
    for reader in &mut readers {
        reader.send(&["GET", "large"]);
        node.expect_well();
    }
    let left = node.clients();
    assert!(left <= 20, "{left}: who leaves the most is closed");
}

#[test]
fn replies_that_are_made_for_each_request_are_bounded() {
    let mut node = Node::start();
    node.set("large", &vec![b'x'; 8 << 20]);
    let mut readers: Vec<RespConnection> = (0..4).map(|_| node.connect()).collect();
    for reader in &mut readers {
        assert!(reader.send_bytes(&requests(&["DUMP", "large"], 200)));
    }
    for _ in 0..20 {
        node.expect_well();
    }
}

#[test]
fn a_million_requests_in_one_go_are_answered() {
    let mut node = Node::start();
    let (mut reader, mut silent) = (node.connect(), node.connect());
    let mut writer = reader.writer();
    let sent = thread::spawn(move || writer.send_bytes(&requests(&["INCR", "n"], MANY)));
    for number in 1..=MANY {
        assert_eq!(reader.receive(), Some(format!(":{number}")));
        if number % 100_000 == 0 {
            node.expect_well();
        }
    }
    assert!(sent.join().expect("the writer ends"));
    // Who does not read is not listened to any more.
    let mut writer = silent.writer();
    let long = "x".repeat(1000);
    let sending = thread::spawn(move || writer.send_bytes(&requests(&["ECHO", &long], MANY)));
    assert_eq!(silent.receive().map(|reply| reply.len()), Some(1003));
    for _ in 0..20 {
        node.expect_well();
    }
    assert_eq!(node.clients(), 3);
    silent.shut_down();
    assert!(!sending.join().expect("the writer ends"), "it was held up");
}

#[test]
fn a_million_empty_requests_are_passed_over() {
    let mut node = Node::start();
    for empty in ["*0\r\n", "*-1\r\n", "\r\n"] {
        let mut client = node.connect();
        let mut bytes = empty.repeat(MANY).into_bytes();
        bytes.extend_from_slice(b"PING\r\n");
        assert!(client.send_bytes(&bytes));
        node.expect_well();
        assert_eq!(client.receive().as_deref(), Some("+PONG"), "{empty:?}");
    }
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_closed() {
    let mut node = Node::start();
    let long = "9".repeat(100_000);
    for (bytes, error) in [
        ("*1\r\n".repeat(MANY), "expected '$', got '*'"),
        ("*2147483648\r\n".to_owned(), "invalid multibulk length"),
        (format!("*{long}"), "too big mbulk count string"),
        (
            "*-9223372036854775809\r\n".to_owned(),
            "invalid multibulk length",
        ),
        ("*1\r\n$-1\r\n".to_owned(), "invalid bulk length"),
        ("*1\r\n$67108865\r\n".to_owned(), "invalid bulk length"),
        ("*1\r\n$1e3\r\n".to_owned(), "invalid bulk length"),
        (format!("*1\r\n${long}"), "too big bulk count string"),
        (long.clone(), "too big inline request"),
        ("GET \"k\r\n".to_owned(), "unbalanced quotes in request"),
    ] {
        let mut client = node.connect();
        // The node may have closed it before all is sent.
        let _ = client.send_bytes(bytes.as_bytes());
        // What is closed before all of it was read loses what was sent on it.
        if let Some(told) = client.receive() {
            assert_eq!(told, format!("-ERR Protocol error: {error}"));
            assert_eq!(client.receive(), None, "{error}");
        } else {
            assert!(bytes.len() > 64 << 10, "{error}");
        }
        node.expect_well();
    }
    assert_eq!(node.clients(), 1);
}

#[test]
fn requests_that_are_never_whole_are_bounded() {
    let mut node = Node::start();
    let mut half = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$67108864\r\n".to_vec();
    half.resize(32 << 20, b'x');
    let mut clients = Vec::new();
    for _ in 0..48 {
        let mut client = node.connect();
        client.send_bytes(&half);
        clients.push(client);
        node.expect_well();
    }
    let left = node.clients();
    assert!(left < 40, "{left}: together they are too large");
}

#[test]
fn what_is_queued_is_bounded() {
    let mut node = Node::start();
    let part = "x".repeat(1 << 20);
    let queued = [requests(&["MULTI"], 1), requests(&["ECHO", &part], 60)].concat();
    let mut clients = Vec::new();
    for _ in 0..24 {
        let mut client = node.connect();
        client.send_bytes(&queued);
        clients.push(client);
        node.expect_well();
    }
    let left = node.clients();
    assert!(left < 24, "{left}: together they are too large");
}

#[test]
fn what_is_listened_to_is_bounded() {
    let mut node = Node::start();
    let mut clients = Vec::new();
    for _ in 0..16 {
        let mut client = node.connect();
        client.ask(&["HELLO", "3"]);
        client.send(&["CLIENT", "REPLY", "OFF"]);
        for request in 0..100 {
            let name = |number: usize| format!("{request}-{number}-{}", "[a]".repeat(330));
            let names: Vec<String> = (0..100).map(name).collect();
            let mut words = vec!["PSUBSCRIBE"];
            words.extend(names.iter().map(String::as_str));
            client.send(&words);
        }
        assert_eq!(client.ask(&["CLIENT", "REPLY", "ON"]), "+OK");
        clients.push(client);
        node.expect_well();
    }
}

#[test]
fn ten_thousand_idle_clients_keep_nobody_out() {
    let mut node = Node::start();
    let count = clients_that_fit(10_000) - 10;
    let mut idle: Vec<RespConnection> = Vec::new();
    for number in 0..count {
        let mut client = node.connect();
        // Half of them have begun a request.
        if number % 2 == 0 {
            assert!(client.send_bytes(b"*2\r\n$4\r\nECHO\r\n$1"));
        }
        idle.push(client);
        if number % 1000 == 0 {
            node.expect_well();
        }
    }
    node.expect_well();
    for client in idle.iter_mut().step_by(2) {
        assert!(client.send_bytes(b"\r\nx\r\n"));
    }
    for client in idle.iter_mut().step_by(2) {
        assert_eq!(client.receive().as_deref(), Some(r#"$"x""#));
    }
    if count == 9_990 {
        let more: Vec<RespConnection> = (0..20).map(|_| node.connect()).collect();
        let refused = Some("-ERR max number of clients reached".to_owned());
        let refused = more.into_iter().filter_map(|mut client| {
            let _ = client.send_bytes(b"PING\r\n");
            (client.receive() == refused).then_some(())
        });
        assert!(refused.count() > 0);
    }
    node.expect_well();
}
