//! The configuration file of a daemon, looked at without starting it.

use std::fs;
use std::path::Path;
use std::process::Command;

use process_tests::Program;

/// Exit code, standard output and standard error of a program that only looks.
fn look(program: Program, file: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program.path())
        .arg("--config")
        .arg(file)
        .args(more)
        .output()
        .expect("runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_sound_file_is_called_sound_and_nothing_is_started_or_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("daemon.toml");
    let data_dir = folder.path().join("data");
    let settings = format!("data-dir = '{}'\n", data_dir.display());
    fs::write(&file, &settings).expect("writes");
    for (program, more) in [
        (Program::Coordinator, &[][..]),
        (Program::Node, &["--coordinator=127.0.0.1:1"]),
    ] {
        let (code, said, _) = look(program, &file, &[&["--check-config"], more].concat());
        assert_eq!(
            (code, said.as_str()),
            (Some(0), "the configuration is sound\n")
        );
        let (code, said, _) = look(program, &file, &[&["--print-config"], more].concat());
        assert_eq!(code, Some(0));
        let place = format!("  # {}, line 1\n", file.display());
        assert!(
            said.contains(&place) && said.contains("log-level = \"info\"  # default\n"),
            "{said}"
        );
    }
    assert!(!data_dir.exists());
    assert_eq!(fs::read_to_string(&file).expect("reads"), settings);
}

#[test]
fn a_mistake_is_named_with_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("coordinator.toml");
    for (settings, what) in [
        (
            "data-dir = 'd'\ncopys = 3\n",
            "coordinator.toml, line 2: 'copys'",
        ),
        (
            "data-dir = 'd'\n\ncopies = 10\n",
            "coordinator.toml, line 3: ",
        ),
        (
            "data-dir = 'd'\nmin-in-sync = 4\n",
            "--min-in-sync 4 is more than --copies 3",
        ),
    ] {
        fs::write(&file, settings).expect("writes");
        let (code, said, why) = look(Program::Coordinator, &file, &["--check-config"]);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{settings}");
        assert!(why.contains(what), "{settings}: {why}");
    }
}
