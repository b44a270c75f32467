//! Hellos over real sockets.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use kv_common::id::{Address, ClusterId};
use kv_common::message::hello::{Caller, Hello, HelloRefusal, PROTOCOL_VERSION};
use kv_net::{AcceptError, Accepted, DialError, Limits, accept, dial, listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(5);

async fn listener() -> (TcpListener, Address) {
    let any = "127.0.0.1:0".parse().expect("an address");
    let listener = listen(&any).await.expect("listens");
    let address = Address(listener.local_addr().expect("bound").to_string());
    (listener, address)
}

fn hello(protocol: u32) -> Hello {
    Hello {
        protocol,
        cluster: None,
        caller: Caller::Client {
            name: "test".to_owned(),
        },
        credentials: None,
    }
}

fn welcome(_: &Hello) -> Result<(Accepted, Limits), HelloRefusal> {
    let accepted = Accepted {
        cluster: Some(ClusterId(7)),
        ..Accepted::default()
    };
    Ok((accepted, Limits::client()))
}

#[tokio::test]
async fn after_the_hello_messages_go_both_ways() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        let (mut connection, hello) = accept(stream, welcome, PATIENCE).await.expect("hello");
        let text: String = connection.receive().await.expect("link").expect("open");
        connection.send(&text.len()).await.expect("sends");
        hello
    });
    let ours = hello(PROTOCOL_VERSION);
    let (mut connection, accepted) = dial(&address, &ours, Limits::client())
        .await
        .expect("dials");
    assert_eq!(accepted.cluster, Some(ClusterId(7)));
    let long = "x".repeat(1 << 20);
    connection.send(&long).await.expect("sends");
    assert_eq!(
        connection.receive().await.expect("link"),
        Some(1_usize << 20)
    );
    assert_eq!(server.await.expect("server"), ours);
    let closed: Option<u64> = connection.receive().await.expect("closed between frames");
    assert_eq!(closed, None);
}

#[tokio::test]
async fn another_version_is_told_so() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        accept(stream, welcome, PATIENCE).await.map(|_| ())
    });
    let refused = dial(&address, &hello(99), Limits::client()).await;
    let expected = HelloRefusal::Protocol {
        ours: PROTOCOL_VERSION,
        theirs: 99,
    };
    assert!(matches!(refused, Err(DialError::Refused { why, .. }) if why == expected));
    let told = server.await.expect("server");
    assert!(matches!(told, Err(AcceptError::Refused(why)) if why == expected));
}

#[tokio::test]
async fn garbage_and_oversize_hellos_are_closed() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 2, 0xc1, 0xc1]] {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("accepts");
            accept(stream, welcome, PATIENCE).await.map(|_| ())
        });
        let mut caller = TcpStream::connect(&address.0).await.expect("connects");
        caller.write_all(bytes).await.expect("writes");
        let mut rest = Vec::new();
        // The close may come as a reset, because bytes of ours were left unread.
        let _ = caller.read_to_end(&mut rest).await;
        let taken = server.await.expect("server");
        assert!(matches!(taken, Err(AcceptError::NoHello(_))), "{taken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_caller_is_given_up() {
    let (listener, address) = listener().await;
    let caller = TcpStream::connect(&address.0).await.expect("connects");
    let (stream, _) = listener.accept().await.expect("accepts");
    let taken = accept(stream, welcome, PATIENCE).await.map(|_| ());
    assert!(matches!(
        taken,
        Err(AcceptError::Timeout { waited_ms: 5000 })
    ));
    drop(caller);
}

#[tokio::test]
async fn a_program_of_another_kind_is_told_by_how_it_answers() {
    for (answer, named) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "'HTTP…'"),
        (b"-ERR unknown command\r\n", "'-ERR…'"),
        (b"\x7f\x00\x00\x00", "does not speak this protocol"),
        (b"", "does not speak this protocol"),
    ] {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(answer).await.expect("writes");
            stream.shutdown().await.expect("closes");
        });
        let dialled = dial(&address, &hello(PROTOCOL_VERSION), Limits::client()).await;
        let error = dialled.expect_err("no hello").to_string();
        assert!(
            error.contains(&address.0) && error.contains(named),
            "{error}"
        );
        server.await.expect("server");
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_connection_and_says_nothing_is_told_from_who_is_not_there() {
    // The system takes the connection for the listener, as for a process that stands still.
    let (_listener, address) = listener().await;
    let dialled = dial(&address, &hello(PROTOCOL_VERSION), Limits::client()).await;
    let error = dialled.expect_err("no hello");
    assert!(
        matches!(
            error,
            DialError::Silent {
                waited_ms: 3000,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let (_listener, address) = listener().await;
    let error = listen(&address).await.expect_err("taken");
    assert!(error.to_string().contains(&address.0), "{error}");
    assert!(error.to_string().contains("another program"), "{error}");
}
