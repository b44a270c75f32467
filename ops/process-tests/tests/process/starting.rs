//! A daemon that cannot start says which and why in one line, and ends.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use process_tests::{Cluster, ClusterOptions, Daemon, PATIENCE, Program, wait_until};

/// Starts a daemon that cannot start and gives what it said: one line.
fn refused(folder: &Path, program: Program, arguments: &[&str]) -> String {
    let mut daemon = Daemon::spawn(
        &program.to_string(),
        program,
        arguments,
        &folder.join("refused.log"),
    );
    let status = daemon.wait_for_end(PATIENCE);
    let log = daemon.log();
    assert!(
        !status.success(),
        "{program} {arguments:?} ended with {status}:\n{log}"
    );
    assert!(!log.contains("panicked"), "{log}");
    let complaints: Vec<_> = log.lines().filter(|line| !line.contains("INFO")).collect();
    assert_eq!(complaints.len(), 1, "not one line:\n{log}");
    complaints.concat()
}

/// The arguments that each daemon needs beside where it listens and keeps its data.
const DAEMONS: [(Program, &[&str]); 2] = [
    (Program::Coordinator, &[]),
    (Program::Node, &["--coordinator", "127.0.0.1:1"]),
];

fn arguments<'a>(listen: &'a str, data_dir: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let data_dir = data_dir.to_str().expect("text");
    [&["--listen", listen, "--data-dir", data_dir], more].concat()
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("bound").to_string();
    for (program, more) in DAEMONS {
        let data_dir = folder.path().join(program.to_string());
        let said = refused(folder.path(), program, &arguments(&taken, &data_dir, more));
        assert!(said.contains(&taken), "{said}");
        assert!(said.contains("another program"), "{said}");
    }
}

#[test]
fn an_address_that_makes_no_sense_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for (program, more) in DAEMONS {
        // The last is kept for documentation, so no machine has it.
        for address in ["127.0.0.1:99999", "203.0.113.7:7100"] {
            let data_dir = folder.path().join(program.to_string());
            let log = folder.path().join("log");
            let arguments = arguments(address, &data_dir, more);
            let mut daemon = Daemon::spawn("daemon", program, &arguments, &log);
            let status = daemon.wait_for_end(PATIENCE);
            assert!(!status.success(), "{program} {address}: {status}");
            assert!(daemon.log().contains(address), "{}", daemon.log());
        }
    }
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "no folder").expect("a file");
    for (program, more) in DAEMONS {
        for data_dir in [file.clone(), file.join("below")] {
            let said = refused(
                folder.path(),
                program,
                &arguments("127.0.0.1:0", &data_dir, more),
            );
            assert!(said.contains(data_dir.to_str().expect("text")), "{said}");
        }
    }
    assert_eq!(fs::read_to_string(file).expect("still there"), "no folder");
}

#[test]
fn a_data_directory_in_use_is_named_and_left_alone() {
    let cluster = Cluster::of_three();
    let user = cluster.user();
    user.done(&["put", "k", "v"]);
    let names = ["coordinator", "node-1"];
    for ((program, more), name) in DAEMONS.into_iter().zip(names) {
        let data_dir = cluster.data_dir(name);
        let arguments = arguments("127.0.0.1:0", &data_dir, more);
        let said = refused(cluster.folder(), program, &arguments);
        assert!(said.contains(data_dir.to_str().expect("text")), "{said}");
    }
    cluster.wait_for_in_sync(3);
    assert_eq!(user.done(&["get", "k"]), "v");
}

#[test]
fn a_data_directory_of_a_newer_format_is_refused_and_left_alone() {
    let mut cluster = Cluster::of_three();
    let name = cluster.backup();
    cluster.stop_node(&name);
    let data_dir = cluster.data_dir(&name);
    let format = data_dir.join("FORMAT");
    fs::write(&format, "kvnode 999\n").expect("writes");
    let more = ["--coordinator", cluster.coordinator_address()];
    let said = refused(
        cluster.folder(),
        Program::Node,
        &arguments("127.0.0.1:0", &data_dir, &more),
    );
    assert!(said.contains("999"), "{said}");
    assert_eq!(
        fs::read_to_string(format).expect("still there"),
        "kvnode 999\n"
    );
}

#[test]
fn a_node_whose_coordinator_is_away_says_so_once_and_keeps_trying() {
    const ATTEMPTS: usize = 5;
    let mut cluster = Cluster::without_daemons(ClusterOptions {
        nodes: 1,
        ..ClusterOptions::default()
    });
    // Someone who takes each call and says nothing sensible stands in for a coordinator that is away,
    // so that the attempts can be counted.
    let stand_in = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = stand_in.local_addr().expect("bound").to_string();
    cluster.set_coordinator_address(&address);
    cluster.start_node("node-1");
    for _ in 0..ATTEMPTS {
        drop(stand_in.accept().expect("a call"));
    }
    let log = cluster.log_of("node-1");
    let said = log.lines().filter(|line| line.contains(&address)).count();
    assert!(
        (1..=2).contains(&said),
        "said {said} times in {ATTEMPTS} attempts:\n{log}"
    );
    drop(stand_in);
    wait_until("the port to be free", PATIENCE, || {
        TcpListener::bind(&address)
            .map(drop)
            .map_err(|cause| cause.to_string())
    });
    cluster.start_coordinator();
    cluster.wait_for_in_sync(1);
    cluster.user().done(&["put", "k", "v"]);
}

#[test]
fn a_coordinator_of_another_cluster_is_not_obeyed() {
    let mut cluster = Cluster::of_three();
    cluster.user().done(&["put", "k", "v"]);
    // Another one, which knows nothing, takes the coordinator's place under its address.
    cluster.kill_coordinator();
    let own = cluster.data_dir("coordinator");
    let aside = cluster.folder().join("coordinator-aside");
    fs::rename(&own, &aside).expect("the folder can be moved");
    cluster.start_coordinator();
    for name in cluster.names() {
        wait_until("the node to say so", PATIENCE, || {
            let log = cluster.log_of(&name);
            if log.contains("the caller belongs to cluster") {
                Ok(())
            } else {
                Err(log)
            }
        });
    }
    let status = cluster.status();
    assert_eq!((status.connected(), status.primary()), (0, None));
    cluster.kill_coordinator();
    fs::remove_dir_all(&own).expect("the folder can be removed");
    fs::rename(&aside, &own).expect("the folder can be moved");
    cluster.start_coordinator();
    cluster.wait_for_in_sync(3);
    assert_eq!(cluster.user().done(&["get", "k"]), "v");
}
