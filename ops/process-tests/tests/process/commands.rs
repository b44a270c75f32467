//! What the commands answer, and with which exit codes.

use process_tests::{Cluster, ClusterOptions, User};

#[test]
fn exit_codes_tell_a_no_from_a_failure() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    let code = |arguments: &[&str]| user.run(arguments).code;
    assert_eq!(code(&["put", "k", "1"]), 0);
    assert_eq!(code(&["get", "absent"]), 1);
    assert_eq!(code(&["exists", "absent"]), 1);
    assert_eq!(code(&["put", "k", "2", "--if-absent"]), 1);
    assert_eq!(code(&["put", "k", "2", "--if-equals", "3"]), 1);
    assert_eq!(user.done(&["get", "k"]), "1");
    assert_eq!(code(&["put", "k", "2", "--if-equals", "1"]), 0);
    assert_eq!(user.done(&["get", "k"]), "2");
    assert_eq!(code(&["delete", "absent"]), 1);
    assert_eq!(code(&["no-such-command"]), 2);
    assert_eq!(code(&["get"]), 2);
    assert_eq!(code(&["put", "word", "x"]), 0);
    assert_eq!(code(&["incr", "word"]), 77);
    assert_eq!(code(&["admin", "switchover", "nobody"]), 77);
    let nobody = User::of_coordinator("127.0.0.1:1").and(&["--timeout", "300ms"]);
    assert_eq!(nobody.run(&["get", "k"]).code, 69);
}

#[test]
fn an_address_at_which_another_program_answers_is_told_as_such() {
    let cluster = Cluster::start(ClusterOptions {
        coordinator: ["--http-listen", "127.0.0.1:0"].map(str::to_owned).to_vec(),
        ..ClusterOptions::with_redis_doors(1)
    });
    let coordinator = cluster.coordinator_address();
    let node = cluster.address("node-1");
    let (redis, http) = (
        cluster.redis_address("node-1"),
        cluster.coordinator_http_address(),
    );
    for (option, address, found) in [
        ("--coordinator", node, "is a node, not a coordinator"),
        ("--coordinator", &redis, "another program, such as a Redis"),
        ("--coordinator", &http, "answers with 'HTTP…'"),
        ("--nodes", coordinator, "is a coordinator, not a node"),
    ] {
        let user = User::with_options(&[option, address, "--timeout", "1500ms"]);
        // Who has no coordinator has no such questions either.
        let commands: &[&[&str]] = match option {
            "--nodes" => &[&["get", "k"]],
            _ => &[&["get", "k"], &["events"]],
        };
        for command in commands {
            let output = user.run(command);
            assert_eq!(output.code, 69, "{output:?}");
            let named = format!("{address} ");
            assert!(
                output.stderr.contains(found) && output.stderr.contains(&named),
                "{command:?}: {}",
                output.stderr
            );
        }
    }
}

#[test]
fn numbers_and_expiries_are_kept() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    assert_eq!(user.done(&["incr", "n"]), "1");
    assert_eq!(user.done(&["incr", "n", "41"]), "42");
    user.done(&["put", "short", "x", "--expires", "100s"]);
    assert_ne!(user.done(&["ttl", "short"]), user.done(&["ttl", "n"]));
    user.done(&["persist", "short"]);
    assert_eq!(user.done(&["ttl", "short"]), user.done(&["ttl", "n"]));
    user.done(&["expire", "short", "1ms"]);
    process_tests::wait_until("the key to go", process_tests::PATIENCE, || {
        match user.run(&["get", "short"]).code {
            1 => Ok(()),
            code => Err(format!("exit code {code}")),
        }
    });
    assert_eq!(user.done(&["count"]), "1");
    cluster.expect_equal_copies();
}

#[test]
fn a_scan_finds_what_matches() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    for key in ["fruit/apple", "fruit/pear", "tool/saw"] {
        user.done(&["put", key, "x"]);
    }
    let found = user.done(&["scan", "--match", "fruit/*"]);
    let mut found: Vec<_> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, ["fruit/apple", "fruit/pear"]);
}

#[test]
fn json_is_one_object_a_line() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    user.done(&["put", "k", "v"]);
    for command in [
        &["get", "k"][..],
        &["where"],
        &["status"],
        &["events"],
        &["digest"],
        &["scan"],
        &["count"],
        &["delete", "k"],
    ] {
        let objects = user.json(command).expect("done");
        assert!(!objects.is_empty(), "{command:?}");
        assert!(
            objects.iter().all(|object| object.is_object()),
            "{command:?}: {objects:?}"
        );
    }
}

#[test]
fn every_program_names_its_version() {
    use process_tests::Program;
    use std::process::Command;
    for program in [Program::Coordinator, Program::Node, Program::Client] {
        let output = Command::new(program.path()).arg("--version").output();
        let output = String::from_utf8(output.expect("it runs").stdout).expect("text");
        let version = format!("{program} {}", env!("CARGO_PKG_VERSION"));
        assert!(output.starts_with(&version), "{output}");
    }
}

#[test]
fn the_address_of_the_primary_is_to_be_had_in_three_ways() {
    let cluster = Cluster::of_three();
    let address = cluster.address(&cluster.primary()).to_owned();
    let user = cluster.user();
    assert!(user.done(&["where"]).contains(&address));
    let file = cluster
        .data_dir("coordinator")
        .join("primaryserveraddress.txt");
    let written = std::fs::read_to_string(file).expect("the coordinator writes it");
    assert_eq!(written.trim_end(), address);
    assert!(user.done(&["status"]).contains(&address));
}

#[test]
fn a_bench_says_what_it_measured_and_finds_what_it_wrote() {
    let cluster = Cluster::of_three();
    let arguments = ["bench", "--verify", "--clients", "2", "--duration", "1s"];
    let said = cluster.user().done(&arguments);
    for figure in ["p50", "p99", "p99.9"] {
        assert!(said.contains(figure), "{said}");
    }
    cluster.expect_equal_copies();
}

#[test]
fn top_shows_nodes_throughput_and_decisions() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    let _load = cluster.load(crate::rounds::TIMEOUT, 1);
    let shown = user.done(&["top", "--frames", "3", "--interval", "300ms"]);
    let pictures: Vec<_> = shown.split("Ctrl-C leaves").collect();
    assert!(pictures.len() >= 3, "{shown}");
    assert!(pictures[0].contains("3 of 3 copies in sync") && pictures[0].contains("first-view"));
    for name in cluster.names() {
        assert!(pictures[0].contains(&name), "{shown}");
    }
    let rates = shown
        .lines()
        .filter_map(|line| line.strip_suffix(" log entries a second"));
    let rates: Vec<_> = rates.filter_map(|rate| rate.parse::<u64>().ok()).collect();
    assert!(
        rates.len() >= 2 && rates.iter().any(|rate| *rate > 0),
        "{shown}"
    );
}
