//! A daemon under a service manager: what it says of itself, and the sockets that outlive it.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kv_common::message::hello::Welcome;
use process_tests::{Link, Manager, PATIENCE, Program, client_hello, wait_until};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

/// A port that is free now. A coordinator that takes up a socket is told its address as any other.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").to_string()
}

fn arguments<'a>(folder: &'a Path, listen: &'a str) -> [&'a str; 4] {
    let data_dir = folder.to_str().expect("text");
    ["--listen", listen, "--data-dir", data_dir]
}

#[test]
fn who_calls_between_two_runs_of_the_coordinator_is_answered_by_the_second() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let address = free_address();
    let mut manager = Manager::listen(folder.path());
    let first = manager.start(Program::Coordinator, &arguments(&data, &address), &log);
    manager.wait_for("READY=1");
    assert_eq!(manager.held(), ["listen"]);
    first.kill();

    let mut link = Link::open(&address).expect("nobody is refused");
    assert!(link.send(&client_hello()));
    let second = manager.start_with(
        "listen",
        Program::Coordinator,
        &arguments(&data, &address),
        &log,
    );
    let welcome = link.receive();
    assert!(
        matches!(welcome, Some(Welcome::Accepted { .. })),
        "{welcome:?}"
    );
    let said = manager.wait_for("READY=1");
    assert!(
        !said.iter().any(|message| message.contains("FDSTORE")),
        "what is held already is not held twice: {said:?}"
    );
    second.stop();
}

#[test]
fn a_socket_that_no_setting_names_any_more_is_let_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let (former, new) = (free_address(), free_address());
    let mut manager = Manager::listen(folder.path());
    let first = manager.start(Program::Coordinator, &arguments(&data, &former), &log);
    manager.wait_for("READY=1");
    first.stop();
    assert!(TcpStream::connect(&former).is_ok(), "it is held");

    // Every address of the machine, the former one among them.
    let (_, port) = former.split_once(':').expect("a port");
    for listen in [format!("0.0.0.0:{port}"), new] {
        let second = manager.start_with(
            "listen",
            Program::Coordinator,
            &arguments(&data, &listen),
            &log,
        );
        let said = manager.wait_for("READY=1");
        for message in ["FDSTOREREMOVE=1\nFDNAME=listen", "FDSTORE=1\nFDNAME=listen"] {
            assert!(said.iter().any(|one| one == message), "{said:?}");
        }
        assert!(Link::as_client(&listen).is_ok(), "{listen}");
        second.stop();
    }
}

#[test]
fn a_reload_is_over_when_the_password_file_is_read() {
    for (program, more, password_flag) in [
        (
            Program::Coordinator,
            &["--sentinel-listen", "127.0.0.1:0"][..],
            "--sentinel-password-file",
        ),
        (
            Program::Node,
            &[
                "--coordinator",
                "127.0.0.1:1",
                "--redis-listen",
                "127.0.0.1:0",
            ],
            "--redis-password-file",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, log) = (folder.path().join("data"), folder.path().join("log"));
        let file = folder.path().join("password");
        let path = file.to_str().expect("text");
        fs::write(&file, "open sesame").expect("writes");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("sets the mode");
        let mut manager = Manager::listen(folder.path());
        let general = arguments(&data, "127.0.0.1:0");
        let words = [&general, more, &[password_flag, path]].concat();
        let daemon = manager.start(program, &words, &log);
        manager.wait_for("READY=1");

        // Who reads a pipe waits for who writes, and the other way round.
        fs::remove_file(&file).expect("a file of our own");
        mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).expect("a pipe of our own");
        daemon.hang_up();
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        let writing = wait_until("the password file to be read", PATIENCE, || {
            open(&file, flags, Mode::empty()).map_err(|error| error.to_string())
        });
        manager.wait_for("RELOADING=1");
        let early: Vec<_> = std::iter::from_fn(|| manager.hear()).collect();
        let is_over = early.iter().any(|message| message.contains("READY=1"));
        assert!(!is_over, "{program}: {early:?}");
        fs::File::from(writing)
            .write_all(b"closed sesame")
            .expect("writes");
        manager.wait_for("READY=1");
        daemon.stop();
    }
}
