//! `kvclient import --redis`: the strings of a running Redis, with their expiries.

use std::fs;

use process_tests::{Cluster, RedisServer, User};
use serde_json::Value;

/// When the key `goes` goes, in milliseconds since 1970.
const GOES_AT: &str = "4000000000123";
/// Several pages, and more than fits into one portion.
const MANY: u32 = 3_000;

/// A cluster of one, and a Redis with the given options; none: there is no Redis on this machine.
fn both(more: &[&str]) -> Option<(Cluster, RedisServer)> {
    let cluster = Cluster::with_redis_doors(1);
    let server = RedisServer::start(cluster.folder(), more)?;
    Some((cluster, server))
}

fn import(user: &User, server: &RedisServer, more: &[&str]) -> (i32, Value, String) {
    let words = [&["import", "--redis", server.address()], more].concat();
    let output = user.and(&["--output", "json"]).run(&words);
    let said = output.json().into_iter().next().unwrap_or_default();
    (output.code, said, output.stderr)
}

/// When a key goes, as the Redis door of the cluster says it.
fn expire_time(cluster: &Cluster, key: &str) -> String {
    let address = cluster.redis_address("node-1");
    process_tests::RespConnection::connect(&address).ask(&["PEXPIRETIME", key])
}

#[test]
fn strings_come_over_with_their_expiries_and_other_types_are_named() {
    let Some((cluster, server)) = both(&[]) else {
        return;
    };
    let user = cluster.user();
    let mut redis = server.connect();
    for number in 0..MANY {
        let value = format!("{number}-{}", "x".repeat(2_000));
        redis.ask(&["SET", &format!("many-{number}"), &value]);
    }
    redis.ask(&[&b"SET"[..], b"any\xff\r\nbytes", b"\x00\r\n$5\r\n\xff"]);
    redis.ask(&["SET", "goes", "v", "PXAT", GOES_AT]);
    redis.ask(&["HSET", "h1", "f", "v"]);
    redis.ask(&["HSET", "h2", "f", "v"]);
    redis.ask(&["RPUSH", "l", "v"]);
    // Twice: a second run does no harm.
    for _ in 0..2 {
        let (code, said, why) = import(&user, &server, &[]);
        assert_eq!(code, 65, "{why}");
        assert_eq!(said["imported"], MANY + 2);
        assert_eq!(said["left_out"]["hash"]["count"], 2);
        assert_eq!(said["left_out"]["list"]["keys"][0], "l");
        assert_eq!(user.done(&["count"]), (MANY + 2).to_string());
    }
    for number in [0, MANY / 2, MANY - 1] {
        let value = format!("{number}-{}", "x".repeat(2_000));
        assert_eq!(user.done(&["get", &format!("many-{number}")]), value);
    }
    assert_eq!(expire_time(&cluster, "goes"), format!(":{GOES_AT}"));
    assert_eq!(expire_time(&cluster, "many-1"), ":-1");
    let address = cluster.redis_address("node-1");
    let mut ours = process_tests::RespConnection::connect(&address);
    let value = ours.ask_bytes(&[&b"GET"[..], b"any\xff\r\nbytes"]);
    assert_eq!(value, b"\x00\r\n$5\r\n\xff");
    let output = user.run(&["import", "--redis", server.address()]);
    let text = output.text();
    let end = "3 keys are left out: 2 hash (";
    assert!(text.contains(end) && text.contains("1 list (l)"), "{text}");
}

#[test]
fn a_pattern_chooses_and_a_run_that_leaves_nothing_out_is_done() {
    let Some((cluster, server)) = both(&[]) else {
        return;
    };
    let user = cluster.user();
    let mut redis = server.connect();
    redis.ask(&["MSET", "a1", "1", "a2", "2", "b1", "3"]);
    redis.ask(&["HSET", "h", "f", "v"]);
    let (code, said, why) = import(&user, &server, &["--match", "a*"]);
    assert_eq!(code, 0, "{why}");
    assert_eq!(said["imported"], 2);
    assert_eq!(said["left_out"], serde_json::json!({}));
    assert_eq!(user.done(&["count"]), "2");
    assert_eq!(user.done(&["get", "a2"]), "2");
}

#[test]
fn what_is_too_long_here_is_named_and_the_rest_comes_over() {
    const KEY_MAX_BYTES: usize = 64 << 10;
    let Some((cluster, server)) = both(&[]) else {
        return;
    };
    let user = cluster.user();
    let mut redis = server.connect();
    // One byte more than a value may have, without sending them.
    redis.ask(&["SETRANGE", "large", &(64 << 20).to_string(), "x"]);
    let long = "k".repeat(KEY_MAX_BYTES);
    redis.ask(&["SET", &format!("{long}k"), "v"]);
    redis.ask(&["SET", &long, "the longest"]);
    redis.ask(&["SET", "small", "v"]);
    let (code, said, why) = import(&user, &server, &[]);
    assert_eq!(code, 65, "{why}");
    assert!(why.contains("'large' is left out: value too long"), "{why}");
    assert!(why.contains("kkk…' is left out: key too long"), "{why}");
    assert_eq!(said["imported"], 2);
    assert_eq!(said["left_out"]["value too long"]["keys"][0], "large");
    assert_eq!(user.done(&["get", "small"]), "v");
    assert_eq!(user.done(&["get", &long]), "the longest");
}

#[test]
fn a_password_is_asked_for_and_taken_from_a_file() {
    let Some((cluster, server)) = both(&["--requirepass", "a secret"]) else {
        return;
    };
    let user = cluster.user();
    let file = cluster.folder().join("password");
    let file = file.to_str().expect("text");
    let mut redis = server.connect();
    assert_eq!(redis.ask(&["AUTH", "a secret"]), "+OK");
    redis.ask(&["SET", "k", "v"]);
    let (code, _, why) = import(&user, &server, &[]);
    assert_eq!(code, 2, "{why}");
    assert!(why.contains("NOAUTH"), "{why}");
    for (password, expected) in [("wrong\n", 2), ("a secret\n", 0)] {
        fs::write(file, password).expect("writes");
        let (code, _, why) = import(&user, &server, &["--redis-password-file", file]);
        assert_eq!(code, expected, "{why}");
        assert!(!why.contains("secret"), "{why}");
    }
    assert_eq!(user.done(&["get", "k"]), "v");
}

#[test]
fn another_user_and_another_database_are_said_in_the_address() {
    let acl = [
        "--user",
        "mover",
        "on",
        ">moving",
        "~*",
        "+@read",
        "+@connection",
    ];
    let Some((cluster, server)) = both(&acl) else {
        return;
    };
    let user = cluster.user();
    let file = cluster.folder().join("password");
    let file = file.to_str().expect("text");
    fs::write(file, "moving\n").expect("writes");
    let mut redis = server.connect();
    redis.ask(&["SET", "k", "in database 0"]);
    assert_eq!(redis.ask(&["SELECT", "3"]), "+OK");
    redis.ask(&["SET", "k", "in database 3"]);
    redis.ask(&["ACL", "SETUSER", "default", "off"]);

    let from = |url: String, more: &[&str]| {
        let words = ["import", "--redis", &url];
        let output = user.run(&[&words, more].concat());
        (output.code, output.text(), output.stderr)
    };
    let password = ["--redis-password-file", file];
    let address = server.address();
    let (code, said, why) = from(format!("redis://mover@{address}/3"), &password);
    assert_eq!(code, 0, "{why}");
    assert!(said.contains(&format!("{address}, database 3")), "{said}");
    assert_eq!(user.done(&["get", "k"]), "in database 3");
    let (code, _, why) = from(format!("redis://mover@{address}"), &password);
    assert_eq!(code, 0, "{why}");
    assert_eq!(user.done(&["get", "k"]), "in database 0");

    for (url, more, found) in [
        (
            format!("redis://other@{address}"),
            &password[..],
            "WRONGPASS",
        ),
        (format!("redis://mover@{address}"), &[], "WRONGPASS"),
        (format!("redis://mover@{address}/99"), &password, "SELECT"),
        (format!("rediss://{address}"), &password, "TLS"),
        (
            format!("redis://mover:moving@{address}"),
            &[],
            "--redis-password-file",
        ),
    ] {
        let (code, _, why) = from(url, more);
        assert_eq!(code, 2, "{why}");
        assert!(why.contains(found), "{why}");
    }
}

#[test]
fn a_redis_that_is_none_is_named() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    let output = user.run(&["import", "--redis", "127.0.0.1:1"]);
    assert_eq!(output.code, 69, "{}", output.stderr);
    assert!(output.stderr.contains("127.0.0.1:1"), "{}", output.stderr);
    // A coordinator does not speak Redis.
    let other = cluster.coordinator_address();
    let output = user
        .and(&["--timeout", "1s"])
        .run(&["import", "--redis", other]);
    assert!([2, 69].contains(&output.code), "{}", output.stderr);
    assert!(output.stderr.contains(other), "{}", output.stderr);
    assert_eq!(user.done(&["count"]), "0");
}
