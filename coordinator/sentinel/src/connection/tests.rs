use bytes::Bytes;
use kv_common::id::{Address, ClusterId};
use kv_common::refusal::Refusal;
use kv_common::timing::Timing;
use kv_resp::{Protocol, Value};

use super::{Connection, Plan, Question};
use crate::{Notice, Settings};

fn settings() -> Settings {
    Settings {
        master_name: "mymaster".to_owned(),
        port: 26379,
        others: vec![Address("h:26380".to_owned())],
        cluster: ClusterId(0xab),
        timing: Timing::from_ms(50),
    }
}

fn plan(connection: &mut Connection, line: &str) -> Plan {
    let arguments: Vec<Bytes> = line
        .split(' ')
        .map(|word| Bytes::copy_from_slice(word.as_bytes()))
        .collect();
    connection.request(&settings(), None, &arguments).plan
}

fn answers(connection: &mut Connection, line: &str) -> Vec<Value> {
    match plan(connection, line) {
        Plan::Answer(values) => values,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn questions_about_our_master_are_asked_under_all_their_names() {
    let mut connection = Connection::new(1);
    for (line, question) in [
        (
            "SENTINEL get-master-addr-by-name mymaster",
            Question::Address,
        ),
        (
            "sentinel get-primary-addr-by-name mymaster",
            Question::Address,
        ),
        ("SENTINEL MASTERS", Question::Masters),
        ("SENTINEL PRIMARIES", Question::Masters),
        ("SENTINEL MASTER mymaster", Question::Master),
        ("SENTINEL SLAVES mymaster", Question::Replicas),
        ("SENTINEL REPLICAS mymaster", Question::Replicas),
        ("SENTINEL SENTINELS mymaster", Question::Sentinels),
        ("SENTINEL CKQUORUM mymaster", Question::Quorum),
        ("INFO", Question::Info),
    ] {
        match plan(&mut connection, line) {
            Plan::Ask(asked) => assert_eq!(asked, question, "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }
    assert!(matches!(
        plan(&mut connection, "SENTINEL FAILOVER mymaster"),
        Plan::Failover
    ));
}

#[test]
fn another_master_is_not_known() {
    let mut connection = Connection::new(1);
    let none = answers(&mut connection, "SENTINEL GET-MASTER-ADDR-BY-NAME other");
    assert_eq!(none, [Value::NullArray]);
    for line in ["MASTER", "SLAVES", "SENTINELS", "CKQUORUM", "FAILOVER"] {
        let told = answers(&mut connection, &format!("SENTINEL {line} other"));
        assert_eq!(
            told,
            [Value::error("ERR No such master with that name")],
            "{line}"
        );
    }
}

#[test]
fn what_is_no_command_is_answered_in_the_words_that_clients_look_for() {
    let mut connection = Connection::new(1);
    for (line, text) in [
        (
            "GET a",
            "ERR unknown command 'GET', with args beginning with: 'a' ",
        ),
        (
            "SENTINEL",
            "ERR wrong number of arguments for 'sentinel' command",
        ),
        (
            "SENTINEL MASTER",
            "ERR wrong number of arguments for 'sentinel|master' command",
        ),
        (
            "SENTINEL What x",
            "ERR unknown subcommand 'What'. Try SENTINEL HELP.",
        ),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
    ] {
        assert_eq!(
            answers(&mut connection, line),
            [Value::error(text)],
            "{line}"
        );
    }
}

#[test]
fn a_listener_hears_what_it_subscribed_to() {
    let mut connection = Connection::new(1);
    let notice = Notice {
        channel: "+switch-master",
        payload: "mymaster h 1 h 2".to_owned(),
    };
    assert!(connection.messages(&notice).is_empty());
    assert_eq!(
        answers(&mut connection, "SUBSCRIBE +switch-master +sdown").len(),
        2
    );
    assert_eq!(connection.messages(&notice).len(), 1);
    answers(&mut connection, "PSUBSCRIBE *");
    assert_eq!(connection.messages(&notice).len(), 2);
    answers(&mut connection, "UNSUBSCRIBE");
    assert_eq!(connection.messages(&notice).len(), 1);
}

#[test]
fn hello_and_failover_answer_as_a_sentinel_does() {
    let mut connection = Connection::new(1);
    answers(&mut connection, "HELLO 3 SETNAME me");
    assert_eq!(connection.protocol(), Protocol::Resp3);
    assert_eq!(
        answers(&mut connection, "CLIENT GETNAME"),
        [Value::bulk("me")]
    );
    let why = "no backup is in sync".to_owned();
    let refused = Connection::failover_ordered(&Err(Refusal::NotAllowed { why }));
    assert_eq!(refused, Value::error("NOGOODSLAVE no backup is in sync"));
    let done = Connection::failover_ordered(&Ok("done".to_owned()));
    assert_eq!(done, Value::OK);
}
