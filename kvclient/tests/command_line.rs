//! The real program against a cluster in this process: what it prints, and its exit codes.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use kv_common::refusal::Refusal;
use support::{FakeCluster, Fault};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvclient"));
    command
        .args(arguments)
        .env_remove("KV_COORDINATOR")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

fn run(cluster: &FakeCluster, arguments: &[&str]) -> Output {
    run_with_input(cluster, arguments, b"")
}

fn run_with_input(cluster: &FakeCluster, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = program(arguments)
        .env("KV_COORDINATOR", &cluster.coordinator.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // A program that needs no input may end before it has read it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Runs a command that has to succeed, and gives what it prints.
fn done(cluster: &FakeCluster, arguments: &[&str]) -> String {
    let output = run(cluster, arguments);
    assert_eq!(code(&output), 0, "{arguments:?}: {}", complaint(&output));
    text(&output)
}

#[test]
fn a_file_that_is_too_long_for_a_value_is_refused_with_its_length() {
    let cluster = FakeCluster::start();
    let file = tempfile::tempfile().expect("a file");
    file.set_len(1 << 30).expect("is sparse");
    let put = program(&["put", "k", "-"])
        .env("KV_COORDINATOR", &cluster.coordinator.0)
        .stdin(file)
        .output()
        .expect("it runs");
    assert_eq!(code(&put), 77);
    let said = complaint(&put);
    assert!(said.contains("input has 1073741824"), "{said}");
    let endless = program(&["put", "k", "-"])
        .env("KV_COORDINATOR", &cluster.coordinator.0)
        .stdin(std::fs::File::open("/dev/zero").expect("opens"))
        .output()
        .expect("it runs");
    assert_eq!(code(&endless), 77);
    let said = complaint(&endless);
    assert!(said.contains("input has more"), "{said}");
    assert_eq!(done(&cluster, &["count"]), "0\n");
}

#[test]
fn values_come_back_as_they_went_in() {
    let cluster = FakeCluster::start();
    assert_eq!(done(&cluster, &["put", "k", "two words"]), "done\n");
    assert_eq!(done(&cluster, &["get", "k"]), "two words\n");
    assert_eq!(done(&cluster, &["get", "-n", "k"]), "two words");
    let bytes: Vec<u8> = (0..=255).collect();
    let put = run_with_input(&cluster, &["put", "bytes", "-"], &bytes);
    assert_eq!(code(&put), 0, "{}", complaint(&put));
    assert_eq!(run(&cluster, &["get", "-n", "bytes"]).stdout, bytes);
    done(&cluster, &["put", "", "empty key"]);
    assert_eq!(done(&cluster, &["get", ""]), "empty key\n");
    assert_eq!(done(&cluster, &["incr", "n", "-7"]), "-7\n");
    assert_eq!(done(&cluster, &["count"]), "4\n");
    assert_eq!(done(&cluster, &["scan", "--limit", "2"]), "\nbytes\n");
    assert_eq!(done(&cluster, &["ttl", "k"]), "never\n");
    // Every command ended its session.
    assert!(cluster.world().table.sessions.is_empty());
}

#[test]
fn no_is_exit_code_1() {
    let cluster = FakeCluster::start();
    done(&cluster, &["put", "k", "v"]);
    for arguments in [
        &["get", "absent"][..],
        &["exists", "absent"],
        &["delete", "absent"],
        &["ttl", "absent"],
        &["expire", "absent", "1s"],
        &["persist", "k"],
        &["put", "k", "w", "--if-absent"],
        &["put", "k", "w", "--if-equals", "x"],
    ] {
        let output = run(&cluster, arguments);
        assert_eq!(code(&output), 1, "{arguments:?}: {}", complaint(&output));
    }
    assert_eq!(
        complaint(&run(&cluster, &["get", "absent"])),
        "kvclient: no such key\n"
    );
    done(&cluster, &["put", "k", "w", "--if-equals", "v"]);
    assert_eq!(done(&cluster, &["get", "k"]), "w\n");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let cluster = FakeCluster::start();
    for arguments in [
        &["no-such-command"][..],
        &["get"],
        &["--timeout", "soon", "count"],
        &["import", "no-such-file"],
        &["export", "no-such-folder/file"],
    ] {
        let output = run(&cluster, arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", complaint(&output));
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    let nobody_named = program(&["count"]).output().expect("it runs");
    assert_eq!(code(&nobody_named), 2);
    assert!(complaint(&nobody_named).contains("--coordinator"));
}

#[test]
fn nobody_to_ask_is_exit_code_69() {
    let output = program(&[
        "--coordinator",
        "127.0.0.1:1",
        "--timeout",
        "300ms",
        "get",
        "k",
    ])
    .output()
    .expect("it runs");
    assert_eq!(code(&output), 69);
    let complaint = complaint(&output);
    assert!(
        complaint.starts_with("kvclient: nobody to ask: "),
        "{complaint}"
    );
    assert!(complaint.contains("127.0.0.1:1"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
}

#[test]
fn an_unknown_outcome_is_exit_code_75_and_a_refusal_77() {
    let cluster = FakeCluster::start();
    cluster.world().faults.push_back(Fault::Mute);
    let output = run(&cluster, &["--timeout", "300ms", "put", "k", "v"]);
    assert_eq!(code(&output), 75, "{}", complaint(&output));
    assert_eq!(code(&run(&cluster, &["incr", "k"])), 77);
    assert_eq!(code(&run(&cluster, &["admin", "switchover", "nobody"])), 77);
    cluster.world().refusal = Some(Refusal::TooFewInSync { have: 1, need: 2 });
    let output = run(&cluster, &["--timeout", "300ms", "put", "k", "w"]);
    assert_eq!(code(&output), 77);
    assert!(complaint(&output).contains("too few copies in sync: 1 of 2"));
}

#[test]
fn nodes_are_enough() {
    let cluster = FakeCluster::start();
    let output = program(&["--nodes", &cluster.nodes[1].0, "put", "k", "v"])
        .output()
        .expect("it runs");
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    let output = program(&["--nodes", &cluster.nodes[1].0, "status"])
        .output()
        .expect("it runs");
    assert!(
        text(&output).contains(&cluster.nodes[0].0),
        "{}",
        text(&output)
    );
}

#[test]
fn json_is_one_object_a_line_and_no_text_is_base64() {
    let cluster = FakeCluster::start();
    let put = run_with_input(&cluster, &["put", "k", "-"], &[0xff, 0xfe]);
    assert_eq!(code(&put), 0);
    let got = done(&cluster, &["get", "k", "--output", "json"]);
    assert_eq!(got, "{\"key\":\"k\",\"value_base64\":\"//4=\"}\n");
    for command in [
        &["where"][..],
        &["status"],
        &["events"],
        &["digest"],
        &["scan"],
        &["count"],
        &["exists", "k"],
        &["ttl", "k"],
        &["admin", "dump"],
        &["admin", "form"],
        &["delete", "k"],
    ] {
        let lines = done(&cluster, &[&["--output", "json"], command].concat());
        assert!(!lines.is_empty(), "{command:?}");
        for line in lines.lines() {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert!(value.is_object(), "{command:?}: {line}");
        }
    }
    let status = done(&cluster, &["--output", "json", "status"]);
    assert_eq!(status.matches("\"in_sync\":true").count(), 3, "{status}");
}

#[test]
fn where_status_and_digest_say_who_is_who() {
    let cluster = FakeCluster::start();
    let primary = &cluster.nodes[0].0;
    assert_eq!(done(&cluster, &["where"]), format!("{primary}\n"));
    let status = done(&cluster, &["status"]);
    let headline = format!("epoch 1, primary node-1 at {primary}, 3 of 3 copies in sync");
    assert!(status.starts_with(&headline), "{status}");
    assert!(done(&cluster, &["events"]).contains("node-1 is primary"));
    assert!(done(&cluster, &["digest"]).contains("are equal"));
    cluster.world().differs = Some(1);
    assert_eq!(code(&run(&cluster, &["digest"])), 1);
}

#[test]
fn what_is_imported_is_exported() {
    let cluster = FakeCluster::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (input, output) = (folder.path().join("in.txt"), folder.path().join("out.txt"));
    let mut pairs: Vec<_> = (0..2_000).map(|n| format!("key-{n} value-{n}\n")).collect();
    std::fs::write(&input, pairs.concat() + "odd\nkey-1 later\n").expect("written");
    let imported = run(&cluster, &["import", input.to_str().expect("text")]);
    assert_eq!(code(&imported), 0, "{}", complaint(&imported));
    assert!(
        text(&imported).starts_with("imported 2001 pairs from "),
        "{}",
        text(&imported)
    );
    assert!(
        complaint(&imported).contains("line 2001: an odd token"),
        "{}",
        complaint(&imported)
    );
    pairs[1] = "key-1 later\n".to_owned();
    pairs.sort_by(|one, other| {
        let key = |line: &str| line.split(' ').next().map(ToOwned::to_owned);
        key(one).cmp(&key(other))
    });
    done(&cluster, &["export", output.to_str().expect("text")]);
    assert_eq!(
        std::fs::read_to_string(&output).expect("read"),
        pairs.concat()
    );
    assert_eq!(done(&cluster, &["export", "-"]), pairs.concat());
    let left = std::fs::read_dir(folder.path()).expect("read").count();
    assert_eq!(left, 2, "nothing is left beside the files");
}

#[test]
fn the_menu_gets_adds_and_deletes() {
    let cluster = FakeCluster::start();
    done(&cluster, &["put", "a", "n"]);
    let output = run_with_input(
        &cluster,
        &["menu"],
        b"1\na\n2\ny\nnn\n1\ny\n3\ny\n3\ny\n4\n",
    );
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    let said = text(&output);
    for expected in [
        "Value of a is n\n",
        "Key y is added, its value is nn\n",
        "Value of y is nn\n",
        "Key y is deleted\n",
        "There is no key y\n",
    ] {
        assert!(said.contains(expected), "{expected}{said}");
    }
    assert_eq!(code(&run_with_input(&cluster, &["menu"], b"1\na")), 0);
}

#[test]
fn the_shell_takes_the_same_commands_from_a_pipe() {
    let cluster = FakeCluster::start();
    let script =
        b"put 'two words' \"x\\x41y\"\n\nget 'two words'\nincr n 41\nincr n\nexit\nget n\n";
    let output = run_with_input(&cluster, &["shell"], script);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    assert_eq!(text(&output), "done\nxAy\n41\n42\n");
    let output = run_with_input(&cluster, &["shell"], b"frobnicate\nget 'open\nget absent\n");
    assert_eq!(code(&output), 1);
    assert_eq!(
        complaint(&output).lines().count(),
        3,
        "{}",
        complaint(&output)
    );
    let help = run_with_input(&cluster, &["shell"], b"help\nput --help\n");
    assert_eq!(code(&help), 0, "{}", complaint(&help));
    for expected in ["admin", "--if-absent"] {
        assert!(text(&help).contains(expected), "{}", text(&help));
    }
}

#[test]
fn a_bench_reports_and_verifies() {
    let cluster = FakeCluster::start();
    let arguments = [
        "bench",
        "--clients",
        "3",
        "--keys",
        "30",
        "--duration",
        "300ms",
        "--read-share",
        "0.3",
        "--verify",
    ];
    let said = done(&cluster, &arguments);
    assert!(
        said.contains("verified: ") && said.contains(" 0 lost, 0 stale"),
        "{said}"
    );
    let json = done(&cluster, &[&["--output", "json"], &arguments[..]].concat());
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(value["operations"].as_u64() > Some(0), "{json}");
    assert_eq!(value["errors"], 0);
    assert_eq!(value["verified"]["wrong"], 0);
    assert!(value["verified"]["keys"].as_u64() > Some(0), "{json}");
}

#[test]
fn the_version_names_program_version_and_commit() {
    let output = program(&["--version"]).output().expect("it runs");
    let expected = format!("kvclient {} (", env!("CARGO_PKG_VERSION"));
    assert!(text(&output).starts_with(&expected), "{}", text(&output));
}
