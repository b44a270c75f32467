//! Nonsense on every port: one clear answer or a closed connection, nothing lost, nothing leaked.

use std::fs;

use kv_common::id::ClusterId;
use kv_common::message::hello::{Hello, HelloRefusal, Welcome};
use process_tests::{Cluster, Link, PATIENCE, client_hello, wait_until};

/// The ports of a cluster, by the name of the daemon.
fn ports(cluster: &Cluster) -> Vec<(String, String)> {
    let mut names = cluster.names();
    names.push("coordinator".to_owned());
    let port = |name: String| {
        let address = cluster.address(&name).to_owned();
        (name, address)
    };
    names.into_iter().map(port).collect()
}

/// Files and sockets that each daemon has open.
fn open_files(cluster: &Cluster) -> Vec<usize> {
    let count = |pid: u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd"));
        open.expect("the daemon still runs").count()
    };
    cluster.pids().into_iter().map(count).collect()
}

/// Checks that `nonsense` did not change what the cluster holds, does or has open.
fn expect_unharmed(cluster: &Cluster, nonsense: impl FnOnce(&[(String, String)])) {
    let user = cluster.user();
    user.done(&["put", "k", "before"]);
    let pids = cluster.pids();
    let status = cluster.status();
    let files = open_files(cluster);
    nonsense(&ports(cluster));
    assert_eq!(cluster.pids(), pids, "a daemon ended");
    assert_eq!(user.done(&["get", "k"]), "before");
    user.done(&["put", "k", "after"]);
    assert_eq!(
        cluster.status().epoch(),
        status.epoch(),
        "nonsense led to a new view"
    );
    wait_until("every connection to be closed", PATIENCE, || {
        let now = open_files(cluster);
        let leaked = now.iter().zip(&files).any(|(now, before)| now > before);
        if leaked {
            Err(format!("{now:?} files are open; before: {files:?}"))
        } else {
            Ok(())
        }
    });
    for name in cluster.names() {
        assert!(
            !cluster.log_of(&name).contains("panicked"),
            "{name} panicked"
        );
    }
}

#[test]
fn garbage_before_the_hello_closes_the_connection() {
    let cluster = Cluster::of_three();
    expect_unharmed(&cluster, |ports| {
        for (name, address) in ports {
            for garbage in [
                &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
                &[0; 4096],
                &[0xff; 4096],
                &[0, 0, 0, 3, 0xc1, 0xc1, 0xc1],
                // A frame of 64 MiB is announced.
                &[4, 0, 0, 0, 0x92],
            ] {
                let mut link = Link::open(address).expect("listens");
                link.send_bytes(garbage);
                link.wait_for_close();
            }
            let mut half = Link::open(address).expect("listens");
            half.send_bytes(&[0, 0, 0, 100, 0x94]);
            drop(half);
            let _silent = Link::open(address).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
    });
}

#[test]
fn a_caller_that_says_nothing_is_given_up() {
    let cluster = Cluster::of_three();
    expect_unharmed(&cluster, |ports| {
        let mut silent: Vec<_> = ports
            .iter()
            .map(|(_, address)| Link::open(address).expect("listens"))
            .collect();
        for link in &mut silent {
            link.wait_for_close();
        }
    });
}

#[test]
fn another_version_and_another_cluster_are_told_so() {
    let cluster = Cluster::of_three();
    expect_unharmed(&cluster, |ports| {
        for (name, address) in ports {
            let version = Hello {
                protocol: 99,
                ..client_hello()
            };
            let foreign = Hello {
                cluster: Some(ClusterId(1)),
                ..client_hello()
            };
            let refused = answer(address, &version);
            assert!(
                matches!(
                    refused,
                    Welcome::Refused(HelloRefusal::Protocol { theirs: 99, .. })
                ),
                "{name}: {refused:?}"
            );
            let refused = answer(address, &foreign);
            assert!(
                matches!(refused, Welcome::Refused(HelloRefusal::Cluster { .. })),
                "{name}: {refused:?}"
            );
        }
    });
}

fn answer(address: &str, hello: &Hello) -> Welcome {
    let mut link = Link::open(address).expect("listens");
    link.send(hello);
    let welcome = link.receive().expect("an answer before the close");
    link.wait_for_close();
    welcome
}

#[test]
fn garbage_after_the_hello_closes_the_connection() {
    let cluster = Cluster::of_three();
    expect_unharmed(&cluster, |ports| {
        for (_, address) in ports {
            for garbage in [
                // No message at all; one of a kind that nobody knows; longer than any frame.
                &[0, 0, 0, 4, 0xc1, 0xc1, 0xc1, 0xc1][..],
                &[0, 0, 0, 6, 0x81, 0xa4, b'N', b'o', b'p', b'e'],
                &[0xff, 0xff, 0xff, 0xff, 0],
            ] {
                let mut link = Link::as_client(address).expect("welcome");
                link.send_bytes(garbage);
                link.wait_for_close();
            }
            let mut cut = Link::as_client(address).expect("welcome");
            cut.send_bytes(&[0, 0, 1, 0, 0x81]);
        }
    });
}

#[test]
fn many_idle_connections_keep_nobody_out() {
    let cluster = Cluster::of_three();
    expect_unharmed(&cluster, |ports| {
        let idle: Vec<_> = ports
            .iter()
            .flat_map(|(_, address)| (0..100).map(move |_| Link::as_client(address)))
            .collect();
        assert!(idle.iter().all(Result::is_ok));
        assert_eq!(cluster.user().done(&["get", "k"]), "before");
    });
}
