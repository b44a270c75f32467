//! Redis clients as their users have them.

use std::time::{Duration, Instant};

use process_tests::{Cluster, PATIENCE, RespConnection};
use redis::sentinel::{SentinelClient, SentinelServerType};
use redis::{AsyncCommands, RedisError};

/// Between two attempts of a client that was told to wait.
const PAUSE: Duration = Duration::from_millis(20);

/// Writes `number` under a key of its own, on whatever node the Sentinel names.
async fn write(
    client: &mut SentinelClient,
    connection: &mut Option<redis::aio::MultiplexedConnection>,
    number: u32,
) -> Result<(), RedisError> {
    if connection.is_none() {
        *connection = Some(client.get_async_connection().await?);
    }
    match connection {
        Some(open) => open.set(format!("key-{number}"), number).await,
        None => Ok(()),
    }
}

/// Goes on until `count` more writes were answered with success; says which.
async fn write_until(client: &mut SentinelClient, from: u32, count: u32) -> Vec<u32> {
    let started = Instant::now();
    let (mut connection, mut done) = (None, Vec::new());
    let mut number = from;
    while done.len() < count as usize {
        assert!(
            started.elapsed() < 4 * PATIENCE,
            "only {} writes",
            done.len()
        );
        number += 1;
        match write(client, &mut connection, number).await {
            Ok(()) => done.push(number),
            Err(_) => {
                connection = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    done
}

#[tokio::test]
async fn a_client_follows_its_sentinel_to_the_next_primary_and_loses_nothing() {
    let mut cluster = Cluster::with_redis_doors(3);
    let sentinel = format!("redis://{}", cluster.sentinel_address());
    let mut client = SentinelClient::build(
        vec![sentinel],
        "mymaster".to_owned(),
        None,
        SentinelServerType::Master,
    )
    .expect("a client");
    let mut done = write_until(&mut client, 0, 200).await;
    let former = cluster.primary();
    let going_on = tokio::spawn(async move {
        let done = write_until(&mut client, 1_000_000, 500).await;
        (client, done)
    });
    cluster.kill_node(&former);
    let (mut client, more) = going_on.await.expect("goes on by itself");
    done.extend(more);
    done.extend(write_until(&mut client, 2_000_000, 100).await);
    assert_ne!(cluster.primary(), former);
    let mut connection = client.get_async_connection().await.expect("connects");
    for number in done {
        let found: Option<u32> = connection
            .get(format!("key-{number}"))
            .await
            .expect("reads");
        assert_eq!(found, Some(number), "key-{number} was acknowledged");
    }
    cluster.start_node(&former);
    cluster.wait_for_in_sync(3);
    cluster.expect_equal_copies();
}

#[test]
fn a_switchover_closes_the_connections_of_the_former_primary() {
    let cluster = Cluster::with_redis_doors(3);
    let former = cluster.primary();
    let mut client = RespConnection::connect(&cluster.redis_address(&former));
    assert_eq!(client.ask(&["SET", "a", "1"]), "+OK");
    let mut listener = RespConnection::connect(&cluster.sentinel_address());
    assert!(
        listener
            .ask(&["SUBSCRIBE", "+switch-master"])
            .contains("subscribe")
    );
    let mut sentinel = RespConnection::connect(&cluster.sentinel_address());
    assert_eq!(sentinel.ask(&["SENTINEL", "FAILOVER", "mymaster"]), "+OK");
    assert_eq!(client.receive(), None, "closed");
    let next = cluster
        .wait_for_other_primary(&former)
        .primary()
        .expect("one");
    let told = listener.receive().expect("is told");
    let (_, new_port) = cluster.redis_address(&next).split_once(':').map_or_else(
        || panic!("an address"),
        |(host, port)| (host.to_owned(), port.to_owned()),
    );
    assert!(
        told.contains("mymaster 127.0.0.1 ") && told.contains(&new_port),
        "{told}"
    );
    let mut client = RespConnection::connect(&cluster.redis_address(&next));
    assert_eq!(client.ask(&["GET", "a"]), "$\"1\"");
}

#[test]
fn a_backup_takes_no_writes_and_reads_only_from_those_that_ask_for_it() {
    let cluster = Cluster::with_redis_doors(2);
    let mut primary = RespConnection::connect(&cluster.redis_address(&cluster.primary()));
    assert_eq!(primary.ask(&["SET", "a", "1"]), "+OK");
    let mut backup = RespConnection::connect(&cluster.redis_address(&cluster.backup()));
    assert_eq!(
        backup.ask(&["SET", "a", "2"]),
        "-READONLY You can't write against a read only replica."
    );
    assert!(backup.ask(&["GET", "a"]).starts_with("-MASTERDOWN "));
    assert_eq!(backup.ask(&["READONLY"]), "+OK");
    process_tests::wait_until("the backup to have applied it", PATIENCE, || {
        let reply = backup.ask(&["GET", "a"]);
        if reply == "$\"1\"" {
            Ok(())
        } else {
            Err(reply)
        }
    });
    assert!(backup.ask(&["SET", "a", "2"]).starts_with("-READONLY "));
    assert!(
        backup
            .ask(&["ROLE"])
            .starts_with("*[$\"slave\", $\"127.0.0.1\"")
    );
}

#[test]
fn a_watched_key_that_changes_keeps_a_transaction_from_being_done() {
    let cluster = Cluster::with_redis_doors(1);
    let address = cluster.redis_address("node-1");
    let (mut one, mut other) = (
        RespConnection::connect(&address),
        RespConnection::connect(&address),
    );
    for interfere in [true, false] {
        assert_eq!(one.ask(&["SET", "a", "1"]), "+OK");
        assert_eq!(one.ask(&["WATCH", "a"]), "+OK");
        assert_eq!(one.ask(&["MULTI"]), "+OK");
        assert_eq!(one.ask(&["INCR", "a"]), "+QUEUED");
        assert_eq!(one.ask(&["APPEND", "a", "x"]), "+QUEUED");
        assert_eq!(one.ask(&["INCR", "a"]), "+QUEUED");
        if interfere {
            assert_eq!(other.ask(&["SET", "a", "7"]), "+OK");
            assert_eq!(one.ask(&["EXEC"]), "*-1");
            assert_eq!(one.ask(&["GET", "a"]), "$\"7\"");
        } else {
            let error = "-ERR value is not an integer or out of range";
            assert_eq!(one.ask(&["EXEC"]), format!("*[:2, :2, {error}]"));
            assert_eq!(one.ask(&["GET", "a"]), "$\"2x\"");
        }
    }
}

#[test]
fn what_is_no_request_is_answered_and_ends_only_its_own_connection() {
    let cluster = Cluster::with_redis_doors(1);
    let address = cluster.redis_address("node-1");
    let mut steady = RespConnection::connect(&address);
    for (bytes, reply) in [
        ("*x\r\n", "-ERR Protocol error: invalid multibulk length"),
        ("*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length"),
        (
            "*1\r\n$99999999999\r\n",
            "-ERR Protocol error: invalid bulk length",
        ),
        ("*2\r\n*1\r\n", "-ERR Protocol error: expected '$', got '*'"),
        (
            "GET \"a\r\n",
            "-ERR Protocol error: unbalanced quotes in request",
        ),
    ] {
        let mut bad = RespConnection::connect(&address);
        let sound = 20;
        let both = "*1\r\n$4\r\nPING\r\n".repeat(sound) + bytes;
        assert!(bad.send_bytes(both.as_bytes()));
        for _ in 0..sound {
            assert_eq!(bad.receive().as_deref(), Some("+PONG"), "{bytes:?}");
        }
        assert_eq!(bad.receive().as_deref(), Some(reply), "{bytes:?}");
        assert_eq!(bad.receive(), None, "closed after {bytes:?}");
        assert_eq!(steady.ask(&["PING"]), "+PONG");
    }
    let mut patient = RespConnection::connect(&address);
    assert!(patient.send_bytes("*0\r\n".repeat(1_000_000).as_bytes()));
    assert_eq!(patient.ask(&["PING"]), "+PONG");
}

#[test]
fn a_pipeline_whose_replies_nobody_reads_holds_up_its_own_sender_alone() {
    let cluster = Cluster::with_redis_doors(1);
    let address = cluster.redis_address("node-1");
    let mut steady = RespConnection::connect(&address);
    let value = "v".repeat(1 << 20);
    assert_eq!(steady.ask(&["SET", "large", &value]), "+OK");
    let mut slow = RespConnection::connect(&address);
    let asked = 2000;
    let get = "*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n".repeat(asked);
    assert!(slow.send_bytes(get.as_bytes()));
    for _ in 0..100 {
        assert_eq!(steady.ask(&["PING"]), "+PONG");
    }
    let memory = steady.ask(&["INFO", "memory"]);
    let used = memory.split("used_memory:").nth(1).expect("a field");
    let used: String = used.chars().take_while(char::is_ascii_digit).collect();
    let used: u64 = used.parse().expect("a number");
    assert!(
        used < 512 << 20,
        "{used} bytes for replies that nobody reads"
    );
    for _ in 0..asked {
        assert_eq!(slow.receive().expect("a reply").len(), value.len() + 3);
    }
}

#[test]
fn what_is_published_reaches_those_that_listen_and_a_slow_one_is_given_up() {
    let cluster = Cluster::with_redis_doors(1);
    let address = cluster.redis_address("node-1");
    let mut publisher = RespConnection::connect(&address);
    let mut plain = RespConnection::connect(&address);
    assert_eq!(
        plain.ask(&["SUBSCRIBE", "news"]),
        "*[$\"subscribe\", $\"news\", :1]"
    );
    assert!(
        plain
            .ask(&["GET", "a"])
            .starts_with("-ERR Can't execute 'get'")
    );
    assert_eq!(plain.ask(&["PING"]), "*[$\"pong\", $\"\"]");
    let mut newer = RespConnection::connect(&address);
    assert!(newer.ask(&["HELLO", "3"]).starts_with('%'));
    assert_eq!(
        newer.ask(&["PSUBSCRIBE", "n?ws"]),
        ">[$\"psubscribe\", $\"n?ws\", :1]"
    );
    assert_eq!(newer.ask(&["PING"]), "+PONG");
    assert_eq!(
        publisher.ask(&["PUBSUB", "NUMSUB", "news"]),
        "*[$\"news\", :1]"
    );
    assert_eq!(publisher.ask(&["PUBLISH", "news", "hi"]), ":2");
    let told = plain.receive().expect("is told");
    assert_eq!(told, "*[$\"message\", $\"news\", $\"hi\"]");
    let told = newer.receive().expect("is told");
    assert_eq!(told, ">[$\"pmessage\", $\"n?ws\", $\"news\", $\"hi\"]");
    let large = "x".repeat(1 << 20);
    process_tests::wait_until(
        "those that do not read to be given up",
        PATIENCE,
        || match publisher.ask(&["PUBLISH", "news", &large]).as_str() {
            ":0" => Ok(()),
            reply => Err(reply.to_owned()),
        },
    );
}

#[test]
fn waiting_for_copies_tells_how_many_hold_what_was_written() {
    let cluster = Cluster::with_redis_doors(3);
    let mut client = RespConnection::connect(&cluster.redis_address(&cluster.primary()));
    client.send(&["SET", "a", "1"]);
    client.send(&["WAIT", "2", "1000"]);
    client.send(&["WAITAOF", "1", "2", "1000"]);
    assert_eq!(client.receive().as_deref(), Some("+OK"));
    assert_eq!(client.receive().as_deref(), Some(":2"));
    assert_eq!(client.receive().as_deref(), Some("*[:1, :2]"));
}

#[test]
fn a_connection_is_closed_by_its_number_or_its_address() {
    let cluster = Cluster::with_redis_doors(1);
    let address = cluster.redis_address("node-1");
    let (mut one, mut other) = (
        RespConnection::connect(&address),
        RespConnection::connect(&address),
    );
    let id = other.ask(&["CLIENT", "ID"]);
    assert_eq!(one.ask(&["CLIENT", "KILL", "ID", &id[1..]]), ":1");
    assert_eq!(other.receive(), None, "closed");
    assert_eq!(
        one.ask(&["CLIENT", "KILL", "1.2.3.4:5"]),
        "-ERR No such client"
    );
    assert_eq!(one.ask(&["CLIENT", "KILL", "SKIPME", "yes"]), ":0");
    assert_eq!(one.ask(&["CLIENT", "KILL", "SKIPME", "no"]), ":1");
    assert_eq!(one.receive(), None, "closed");
}
