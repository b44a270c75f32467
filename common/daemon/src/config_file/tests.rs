use super::{Configuration, Looks, read};
use clap::Parser;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

#[derive(Clone, Debug, Parser)]
#[command(name = "daemon")]
struct Arguments {
    #[arg(long, value_delimiter = ',', required = true)]
    #[arg(env = "KV_DAEMON_TEST_PEERS")]
    peers: Vec<String>,

    #[arg(long, default_value_t = 3)]
    copies: u8,

    // A variable that every environment has.
    #[arg(long, env = "PATH")]
    paths: Option<String>,

    #[arg(long)]
    door: Option<String>,

    #[arg(long, requires = "door")]
    door_name: Option<String>,

    #[arg(long)]
    config: Option<PathBuf>,

    #[command(flatten)]
    looks: Looks,
}

fn with_file(content: &str, more: &[&str]) -> Result<Configuration<Arguments>, clap::Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("daemon.toml");
    let mut file = File::create(&path).expect("a file");
    file.write_all(content.as_bytes()).expect("writes");
    let config = format!("--config={}", path.display());
    let words = [&["daemon", config.as_str()], more].concat();
    read(words.into_iter().map(OsString::from))
}

fn refused(content: &str, more: &[&str]) -> String {
    let error = with_file(content, more).expect_err(content);
    assert_eq!(error.exit_code(), 2, "{content}");
    error.to_string()
}

#[test]
fn flags_win_over_variables_and_these_over_the_file() {
    let file = "peers = ['a', 'b']\ncopies = 5\npaths = 'mine'\n";
    let read = with_file(file, &[]).expect("reads").arguments;
    assert_eq!((read.peers.len(), read.copies), (2, 5));
    assert_ne!(read.paths.as_deref(), Some("mine"));
    let more = ["--copies", "7", "--peers", "c", "--paths", "theirs"];
    let read = with_file(file, &more).expect("reads").arguments;
    assert_eq!((read.peers, read.copies), (vec!["c".to_owned()], 7));
    assert_eq!(read.paths.as_deref(), Some("theirs"));
}

#[test]
fn what_is_missing_is_said_with_all_the_places_where_it_may_stand() {
    for said in [
        refused("copies = 5\n", &[]),
        read::<Arguments, _>([OsString::from("daemon")])
            .expect_err("no peers")
            .to_string(),
    ] {
        for place in ["--peers <PEERS>", "--config", "KV_DAEMON_TEST_PEERS"] {
            assert!(said.contains(place), "{place}: {said}");
        }
    }
}

#[test]
fn each_value_says_where_it_comes_from() {
    let file = "# a comment\npeers = ['a', 'b']\ncopies = 5\n";
    let read = with_file(file, &["--copies=0x", "--door=7"]).expect_err("no number");
    assert!(
        !read.to_string().contains("line"),
        "a flag is at fault: {read}"
    );
    let in_force = with_file(file, &["--door=7"])
        .expect("reads")
        .in_force
        .to_string();
    let lines: Vec<&str> = in_force.lines().collect();
    assert!(lines[0].starts_with("peers = [\"a\", \"b\"]  # ") && lines[0].ends_with("line 2"));
    assert!(lines[1].starts_with("copies = 5  # ") && lines[1].ends_with("daemon.toml, line 3"));
    assert!(lines[2].ends_with("  # PATH in the environment"));
    assert_eq!(lines[3], "door = 7  # --door");
    assert_eq!(lines[4], "# door-name is not set");
    assert_eq!(lines.len(), 5);
    // What is printed says the same when it is read as a file.
    let again = with_file(&in_force, &[]).expect("reads").arguments;
    assert_eq!((again.peers.len(), again.copies), (2, 5));
    assert_eq!(again.door.as_deref(), Some("7"));
}

#[test]
fn a_default_is_called_so() {
    let in_force = with_file("peers = 'a'\n", &[]).expect("reads").in_force;
    assert!(in_force.to_string().contains("copies = 3  # default\n"));
}

#[test]
fn a_mistake_in_the_file_is_named_with_its_line() {
    for (content, line, what) in [
        (
            "peers = ['a']\ncolour = 'blue'\n",
            2,
            "'colour' is no setting",
        ),
        ("\nhelp = 'me'\n", 2, "'help'"),
        ("config = 'another.toml'\n", 1, "'config'"),
        ("check-config = 'yes'\n", 1, "'check-config'"),
        ("peers = ['a']\ncopies = 300\n", 2, "300"),
        ("copies = true\n", 1, "'copies' wants a number"),
        ("copies = 1.5\n", 1, "'copies' wants a number"),
        ("\n[copies]\nmany = 1\n", 2, "'copies' wants a number"),
        ("peers = []\n", 1, "'peers' wants a number"),
        ("peers = ['a']\ncopies = [1, 2]\n", 2, "multiple times"),
        ("peers = ['a']\n\ncopies = [\n", 3, "no TOML"),
    ] {
        let said = refused(content, &[]);
        assert!(
            said.contains(&format!("daemon.toml, line {line}: ")),
            "{content}: {said}"
        );
        assert!(said.contains(what), "{content}: {said}");
    }
}

#[test]
fn a_setting_that_needs_another_may_stand_in_either_place() {
    let file = "peers = 'a'\ndoor = 'x'\n";
    assert!(with_file(file, &["--door-name=n"]).is_ok());
    assert!(with_file("peers = 'a'\ndoor-name = 'n'\n", &["--door=x"]).is_ok());
    assert!(refused("peers = 'a'\ndoor-name = 'n'\n", &[]).contains("--door"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let words = ["daemon", "--config=/nowhere/daemon.toml"].map(OsString::from);
    let error = read::<Arguments, _>(words).expect_err("no file");
    assert!(
        error
            .to_string()
            .contains("/nowhere/daemon.toml cannot be read")
    );
    assert!(refused("colour = 1\n", &["--peers=a"]).contains("line 1"));
}
