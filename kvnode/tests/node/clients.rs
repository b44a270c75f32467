//! A node and its clients.

use std::io::{Read, Write};
use std::net::TcpStream;

use kv_common::command::{Command, Reply};
use kv_common::id::{ClusterId, Epoch, Position, Seq};
use kv_common::message::client::{ClientToNode, NodeToClient};
use kv_common::message::hello::{Caller, HelloRefusal};
use kv_common::refusal::Refusal;
use kv_net::{DialError, Limits, dial};

use super::support::{Client, DEADLINE, Door, Node, Single, get, hello, put};

#[tokio::test]
async fn pipelined_requests_are_answered_in_the_order_of_their_effects() {
    const REQUESTS: u64 = 10_000;
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"").await;
    let client = Client::of(&single.address).await;
    let (mut receiver, mut sender) = client.split();
    let send = async {
        for id in 0..REQUESTS {
            let command = if id % 2 == 0 {
                put("k", id.to_string().as_bytes())
            } else {
                get("k")
            };
            let stamp = None;
            let request = ClientToNode::Request { id, stamp, command };
            sender.feed(&request).expect("fits");
            if sender.buffered_bytes() > 1 << 16 {
                sender.flush().await.expect("sends");
            }
        }
        sender.flush().await.expect("sends");
    };
    let receive = async {
        let mut answers = vec![None; usize::try_from(REQUESTS).expect("fits")];
        for _ in 0..REQUESTS {
            let received = receiver.receive().await.expect("a message");
            match received {
                Some(NodeToClient::Answer { id, result }) => {
                    let answer = &mut answers[usize::try_from(id).expect("fits")];
                    assert!(answer.replace(result).is_none(), "answered twice");
                }
                other => panic!("not an answer: {other:?}"),
            }
        }
        answers
    };
    let ((), answers) = tokio::join!(send, receive);
    for (id, answer) in answers.into_iter().enumerate() {
        let expected = if id % 2 == 0 {
            Reply::Done
        } else {
            Reply::Value(Some((id - 1).to_string().into()))
        };
        assert_eq!(answer, Some(Ok(expected)), "request {id}");
    }
}

#[tokio::test]
async fn a_client_that_reads_late_gets_all_its_large_values() {
    const VALUES: u64 = 200;
    let mut single = Single::start(&[]).await;
    let value = vec![b'x'; 1 << 20];
    single.client.put("large", &value).await;
    let mut late = Client::of(&single.address).await;
    for id in 0..VALUES {
        let (stamp, command) = (None, get("large"));
        late.send(&ClientToNode::Request { id, stamp, command })
            .await;
    }
    // Another client is served meanwhile.
    single.client.put("other", b"v").await;
    for id in 0..VALUES {
        let expected = NodeToClient::Answer {
            id,
            result: Ok(Reply::Value(Some(value.clone().into()))),
        };
        assert!(late.receive().await == expected, "answer {id}");
    }
}

#[tokio::test]
async fn values_up_to_the_limit_are_kept() {
    let mut single = Single::start(&[]).await;
    let value = vec![7; kv_common::limits::VALUE_MAX_BYTES];
    single.client.put("huge", &value).await;
    assert!(single.client.get("huge").await == Some(value));
    let long = "k".repeat(kv_common::limits::KEY_MAX_BYTES + 1);
    let refused = single.client.ask(put(&long, b"")).await;
    assert!(matches!(refused, Err(Refusal::KeyTooLong { .. })));
}

#[tokio::test]
async fn nonsense_closes_its_connection_and_harms_nobody() {
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    for nonsense in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 4096],
        &[0xff; 64],
        &[0, 0, 0, 3, 0xc1, 0xc1, 0xc1],
    ] {
        let mut socket = TcpStream::connect(&single.address.0).expect("connects");
        socket.set_read_timeout(Some(DEADLINE)).expect("is set");
        socket.write_all(nonsense).expect("sends");
        let mut answer = Vec::new();
        // A reset is as good as a close.
        let closed = socket.read_to_end(&mut answer);
        assert!(
            closed.is_ok()
                || closed.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
        );
    }
    let client = Client::of(&single.address).await;
    client.expect_closed_after(&[0, 0, 0, 2, 0xc1, 0xc1]).await;
    assert_eq!(single.client.get("k").await.as_deref(), Some(&b"v"[..]));
    assert!(single.node.runs());
}

#[tokio::test]
async fn callers_of_another_cluster_are_told_so() {
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    let caller = Caller::Client {
        name: "test".to_owned(),
    };
    let foreign = hello(Some(ClusterId(1)), caller);
    let refused = dial(&single.address, &foreign, Limits::client()).await;
    assert!(matches!(
        refused,
        Err(DialError::Refused {
            why: HelloRefusal::Cluster { .. },
            ..
        })
    ));
}

#[tokio::test]
async fn a_node_without_a_role_executes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Door::open().await;
    let mut node = Node::start(&folder.path().join("node"), &door.address, &[]);
    let mut client = Client::of(&node.address().await).await;
    let (id, stamp, command) = (5, None, put("k", b"v"));
    client
        .send(&ClientToNode::Request { id, stamp, command })
        .await;
    let answer = client.receive().await;
    let result = Err(Refusal::NotPrimary {
        primary: None,
        epoch: Epoch(0),
    });
    assert_eq!(answer, NodeToClient::Answer { id, result });
    client.send(&ClientToNode::Export { id: 6 }).await;
    let answer = client.receive().await;
    assert!(
        matches!(
            answer,
            NodeToClient::ExportBegins {
                id: 6,
                result: Err(Refusal::NotPrimary { .. })
            }
        ),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_node_tells_what_it_knows() {
    let single = Single::start(&[]).await;
    let mut client = single.client;
    client.put("k", b"v").await;
    client.send(&ClientToNode::Map { id: 1 }).await;
    let map = client.receive().await;
    assert!(
        matches!(&map, NodeToClient::Map { id: 1, map: Some(map) } if map.version == 1),
        "{map:?}"
    );
    client.send(&ClientToNode::Report { id: 2 }).await;
    let report = client.receive().await;
    assert!(
        matches!(&report, NodeToClient::Report { id: 2, report } if report.keys == 1),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_digest_is_that_of_the_mark() {
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    let Ok(Reply::Marked(at)) = single.client.ask(Command::Mark).await else {
        panic!("no mark");
    };
    single.client.put("k2", b"v").await;
    let digest = |id| ClientToNode::Digest { id, at };
    single.client.send(&digest(7)).await;
    let answer = single.client.receive().await;
    let NodeToClient::Digest {
        id: 7,
        result: Ok(first),
    } = answer
    else {
        panic!("{answer:?}");
    };
    assert_eq!((first.at, first.keys), (at, 1));
    let unmarked = Position {
        epoch: Epoch(1),
        seq: Seq(1),
    };
    let message = ClientToNode::Digest {
        id: 8,
        at: unmarked,
    };
    single.client.send(&message).await;
    let answer = single.client.receive().await;
    assert!(
        matches!(
            answer,
            NodeToClient::Digest {
                id: 8,
                result: Err(Refusal::NotFound { .. })
            }
        ),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_dump_and_an_export_hold_what_was_acknowledged() {
    let mut single = Single::start(&[]).await;
    let long = "x".repeat(1 << 20);
    for (key, value) in [("b", "2"), ("a", "1"), ("c", &long)] {
        single.client.put(key, value.as_bytes()).await;
    }
    single.client.send(&ClientToNode::Dump { id: 1 }).await;
    let dumped = single.client.receive().await;
    assert!(
        matches!(&dumped, NodeToClient::Dumped { id: 1, result: Ok(summary) } if summary.keys == 3),
        "{dumped:?}"
    );
    let pairs = format!("a 1\nb 2\nc {long}\n");
    assert!(single.db_txt().starts_with(&pairs));

    single.client.send(&ClientToNode::Export { id: 2 }).await;
    let begins = single.client.receive().await;
    let NodeToClient::ExportBegins {
        id: 2,
        result: Ok(summary),
    } = begins
    else {
        panic!("{begins:?}");
    };
    let mut text = Vec::new();
    loop {
        match single.client.receive().await {
            NodeToClient::ExportPart { id: 2, bytes } => text.extend_from_slice(&bytes),
            NodeToClient::ExportEnds { id: 2 } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(summary.bytes, text.len() as u64);
    assert!(text == pairs.as_bytes());
}

#[tokio::test]
async fn db_txt_is_written_at_the_interval() {
    let mut single = Single::start(&["--dump-interval", "10ms"]).await;
    single.client.put("a", b"n").await;
    loop {
        single.node.line("wrote the key space").await;
        if single.db_txt().contains("a n\n") {
            break;
        }
    }
}
