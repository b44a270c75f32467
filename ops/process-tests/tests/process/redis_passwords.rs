//! Doors for Redis clients that ask for a password.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use process_tests::{
    Cluster, ClusterOptions, PATIENCE, Program, RedisServer, RespConnection, wait_until,
};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{AsyncCommands, RedisConnectionInfo};
use tempfile::TempDir;

const OF_NODES: &str = "open sesame";
const OF_SENTINEL: &str = "another";

/// What a client that has not said the password is told, and how it is let in. HELLO alone is not asked:
/// its text became longer with 7.2.
const DIALOGUE: &[&str] = &[
    "PING",
    "GET a",
    "SET a 1",
    "MULTI",
    "CLIENT ID",
    "SUBSCRIBE a",
    "NOSUCH a",
    "GET",
    "AUTH",
    "AUTH wrong",
    "AUTH default wrong",
    "AUTH other open-sesame",
    "AUTH a b c",
    "HELLO 4",
    "HELLO 3 AUTH default wrong",
    "HELLO 3 SETNAME",
    "PING",
    "AUTH open-sesame",
    "PING",
    "SET a 1",
    "AUTH wrong",
    "PING",
    "RESET",
    "PING",
    "AUTH default open-sesame",
    "GET a",
    "RESET",
    "GET a",
];

struct Passwords {
    folder: TempDir,
}

impl Passwords {
    fn write(&self, name: &str, password: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, format!("{password}\n")).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("sets the mode");
        path
    }
}

fn passwords() -> Passwords {
    let folder = tempfile::tempdir().expect("a folder");
    Passwords { folder }
}

fn flag(name: &str, path: &Path) -> [String; 2] {
    [name.to_owned(), path.display().to_string()]
}

fn start(nodes: usize, of_nodes: &Path, of_sentinel: &Path) -> Cluster {
    let door = |listen: &str, password: [String; 2]| {
        let mut words = vec![listen.to_owned(), "127.0.0.1:0".to_owned()];
        words.extend(password);
        words
    };
    Cluster::start(ClusterOptions {
        nodes,
        coordinator: door(
            "--sentinel-listen",
            flag("--sentinel-password-file", of_sentinel),
        ),
        node: door("--redis-listen", flag("--redis-password-file", of_nodes)),
    })
}

#[test]
fn who_does_not_say_the_password_is_told_what_redis_tells() {
    let passwords = passwords();
    let file = passwords.write("nodes", "open-sesame", 0o600);
    let cluster = start(1, &file, &file);
    let Some(redis) = RedisServer::start(cluster.folder(), &["--requirepass", "open-sesame"])
    else {
        return;
    };
    let door = cluster.redis_address("node-1");
    let mut theirs = RespConnection::connect(redis.address());
    let mut ours = RespConnection::connect(&door);
    for request in DIALOGUE {
        let words: Vec<&str> = request.split(' ').collect();
        assert_eq!(ours.ask(&words), theirs.ask(&words), "{request}");
    }
    for large in ["*11\r\n", "*1\r\n$16385\r\n"] {
        let (mut ours, mut theirs) = (
            RespConnection::connect(&door),
            RespConnection::connect(redis.address()),
        );
        assert!(ours.send_bytes(large.as_bytes()) && theirs.send_bytes(large.as_bytes()));
        assert_eq!(ours.receive(), theirs.receive(), "{large}");
        assert_eq!(ours.receive(), None, "closed");
        let mut let_in = RespConnection::connect(&door);
        assert_eq!(let_in.ask(&["AUTH", "open-sesame"]), "+OK");
        assert_eq!(let_in.ask(&["SET", "k", &"x".repeat(20_000)]), "+OK");
        assert_eq!(let_in.ask(&["DEL"; 12]), ":0");
        assert_eq!(let_in.ask(&["RESET"]), "+RESET");
        assert!(let_in.send_bytes(large.as_bytes()));
        let refused = let_in.receive().expect("is told");
        assert!(refused.contains("unauthenticated"), "{refused}");
    }
}

#[tokio::test]
async fn a_client_says_both_passwords_and_follows_its_sentinel() {
    let passwords = passwords();
    let of_nodes = passwords.write("nodes", OF_NODES, 0o600);
    let of_sentinel = passwords.write("sentinel", OF_SENTINEL, 0o600);
    let mut cluster = start(3, &of_nodes, &of_sentinel);
    let sentinel = format!("redis://:{OF_SENTINEL}@{}", cluster.sentinel_address());
    let nodes = RedisConnectionInfo::default().set_password(OF_NODES);
    let nodes = SentinelNodeConnectionInfo::default().set_redis_connection_info(nodes);
    let mut client = SentinelClient::build(
        vec![sentinel],
        "mymaster".to_owned(),
        Some(nodes),
        SentinelServerType::Master,
    )
    .expect("a client");
    let mut connection = client.get_async_connection().await.expect("connects");
    let () = connection.set("a", 1).await.expect("is let in");
    let former = cluster.primary();
    cluster.kill_node(&former);
    cluster.wait_for_other_primary(&former);
    let found = loop_until_some(async || {
        let mut connection = client.get_async_connection().await.ok()?;
        connection.get::<_, u32>("a").await.ok()
    });
    assert_eq!(found.await, 1);
    let mut stranger = RespConnection::connect(&cluster.sentinel_address());
    let told = stranger.ask(&["SENTINEL", "MASTERS"]);
    assert_eq!(told, "-NOAUTH Authentication required.");
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(stranger.ask(&["AUTH", OF_NODES]), wrong);
    assert_eq!(stranger.ask(&["AUTH", OF_SENTINEL]), "+OK");
    assert!(stranger.ask(&["SENTINEL", "MASTERS"]).contains("mymaster"));
}

async fn loop_until_some<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "takes too long");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn a_new_password_is_read_when_the_daemons_are_told_to() {
    let passwords = passwords();
    let of_nodes = passwords.write("nodes", OF_NODES, 0o600);
    let of_sentinel = passwords.write("sentinel", OF_SENTINEL, 0o600);
    let cluster = start(1, &of_nodes, &of_sentinel);
    let doors = [cluster.redis_address("node-1"), cluster.sentinel_address()];
    let mut before = RespConnection::connect(&doors[0]);
    assert_eq!(before.ask(&["AUTH", OF_NODES]), "+OK");
    passwords.write("nodes", "of today", 0o600);
    passwords.write("sentinel", "of today", 0o600);
    cluster.hang_up_node("node-1");
    cluster.hang_up_coordinator();
    for (door, former) in doors.iter().zip([OF_NODES, OF_SENTINEL]) {
        let mut client = RespConnection::connect(door);
        wait_until("the new password to count", PATIENCE, || {
            match client.ask(&["AUTH", "of today"]).as_str() {
                "+OK" => Ok(()),
                refused => Err(refused.to_owned()),
            }
        });
        let refused = RespConnection::connect(door).ask(&["AUTH", former]);
        assert!(refused.starts_with("-WRONGPASS"), "{refused}");
    }
    assert_eq!(before.ask(&["PING"]), "+PONG", "was let in, and stays");
}

#[test]
fn a_file_that_others_can_read_is_refused_at_the_start() {
    let passwords = passwords();
    let file = passwords.write("nodes", OF_NODES, 0o640);
    let folder = passwords.folder.path();
    let start = |program: Program, words: &[&str]| {
        let output = Command::new(program.path())
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join(program.to_string()))
            .args(words)
            .arg(&file)
            .output()
            .expect("runs");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains("chmod 600 it"), "{log}");
    };
    let coordinator = ["--sentinel-listen=127.0.0.1:0", "--sentinel-password-file"];
    start(Program::Coordinator, &coordinator);
    let node = [
        "--coordinator=127.0.0.1:1",
        "--redis-listen=127.0.0.1:0",
        "--redis-password-file",
    ];
    start(Program::Node, &node);
}
