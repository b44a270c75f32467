use clap::{CommandFactory, Parser};

use super::{AdminOrder, Arguments, Command, ShellLine};

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    let words = line.split(' ').filter(|word| !word.is_empty());
    Arguments::try_parse_from(std::iter::once("kvclient").chain(words))
}

fn command(line: &str) -> Command {
    parse(line).expect("parses").command
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
    ShellLine::command().debug_assert();
}

#[test]
fn options_stand_before_or_behind_the_command() {
    for line in [
        "--coordinator a:1,b:2 --nodes c:3 --timeout 300ms --output json count",
        "count --coordinator a:1,b:2 --nodes c:3 --timeout 300ms --output json",
    ] {
        let options = parse(line).expect("parses").options;
        assert_eq!(options.coordinator.len(), 2);
        assert_eq!(options.nodes.len(), 1);
        assert_eq!(options.timeout.as_millis(), 300);
    }
}

#[test]
fn nonsense_is_refused() {
    for line in [
        "",
        "no-such-command",
        "get",
        "get a b",
        "put a",
        "delete",
        "expire a",
        "expire a soon",
        "put a b --if-absent --if-equals c",
        "--coordinator nowhere count",
        "--timeout 0s count",
        "incr a b",
        "bench --read-share 2",
        "bench --clients 0",
        "import",
        "import db.txt --redis a:1",
        "import db.txt --match a*",
        "import --redis-password-file f",
        "import --redis nowhere",
        "admin",
        "admin forget",
        "admin force-primary",
        "admin force-primary a --accept-loss",
        "admin force-primary a --epoch 3",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn numbers_may_be_negative() {
    assert!(matches!(command("incr a -5"), Command::Incr { by: -5, .. }));
    let Command::Put(put) = command("put a -5") else {
        panic!("a put");
    };
    assert_eq!(put.value, "-5");
    let Command::Put(put) = command("put a -") else {
        panic!("a put");
    };
    assert_eq!(put.value, "-");
}

#[test]
fn orders_name_nodes() {
    assert!(matches!(
        command("admin switchover"),
        Command::Admin(AdminOrder::Switchover { node: None })
    ));
    assert!(matches!(
        command("admin form --from node-2"),
        Command::Admin(AdminOrder::Form { from: Some(_) })
    ));
}
