//! The configuration file of a daemon, looked at without starting it.

use std::fs;
use std::path::{Path, PathBuf};
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

/// What is installed beside the programs.
fn installed(file: &str) -> PathBuf {
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    ops.expect("a folder").join("systemd").join(file)
}

/// What the service manager of a node's unit sets for `instance`.
fn variables_of_unit(instance: &str) -> Vec<(String, String)> {
    let unit = fs::read_to_string(installed("kvnode@.service")).expect("reads");
    let unit = unit.replace("%i", instance).replace("%S", "/var/lib");
    assert!(unit.contains(&format!(" --config /etc/kv/{instance}.toml\n")));
    unit.lines()
        .filter_map(|line| line.strip_prefix("Environment="))
        .filter_map(|setting| setting.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_instance_of_a_unit_names_the_node_unless_its_settings_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node-2.toml");
    let shipped = fs::read_to_string(installed("config/node-1.toml")).expect("reads");
    let printed = |settings: &str| {
        fs::write(&file, settings).expect("writes");
        let output = Command::new(Program::Node.path())
            .arg("--config")
            .arg(&file)
            .arg("--print-config")
            .envs(variables_of_unit("node-2"))
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = printed(&shipped);
    let line = "default-name = \"node-2\"  # KVNODE_DEFAULT_NAME in the environment\n";
    assert!(said.contains(line), "{said}");
    assert!(said.contains("data-dir = \"/var/lib/kv/node-2\""), "{said}");
    assert!(!said.contains("\nname = "), "{said}");
    let said = printed(&shipped.replace("# name = \"node-1\"", "name = \"two\""));
    assert!(said.contains("\nname = \"two\""), "{said}");
}

#[test]
fn what_is_installed_shows_metrics_where_prometheus_looks_for_them() {
    let scraped = fs::read_to_string(installed("../prometheus/prometheus.yml")).expect("reads");
    for (program, file) in [
        (Program::Coordinator, "config/coordinator.toml"),
        (Program::Node, "config/node-1.toml"),
    ] {
        let words = ["--data-dir=d", "--print-config"];
        let (code, said, why) = look(program, &installed(file), &words);
        assert_eq!(code, Some(0), "{why}");
        let address = said
            .lines()
            .find_map(|line| line.strip_prefix("http-listen = "))
            .and_then(|line| line.split('"').nth(1))
            .unwrap_or_else(|| panic!("{file} has no http-listen: {said}"));
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        assert!(scraped.contains(&format!("\"{address}\"")), "{address}");
    }
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
