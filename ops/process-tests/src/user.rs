//! A person at the command line: runs `kvclient` and reads what it prints.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::daemon::KilledOnDrop;
use crate::programs::Program;
use crate::wait::{PATIENCE, wait_until};

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it printed to standard error.
    pub stderr: String,
}

impl Output {
    /// What it printed, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// What it printed, one JSON value a line.
    ///
    /// # Panics
    /// When a line is none.
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|cause| panic!("not JSON ({cause}): {line}\n{}", self.stderr))
            })
            .collect()
    }
}

/// Runs `kvclient` with the same options before every command.
#[derive(Clone, Debug)]
pub struct User {
    options: Vec<String>,
}

impl User {
    /// One who asks the coordinator at `address`.
    #[must_use]
    pub fn of_coordinator(address: &str) -> Self {
        Self::with_options(&["--coordinator", address])
    }

    /// One who gives these options before each command.
    #[must_use]
    pub fn with_options(options: &[&str]) -> Self {
        Self {
            options: options.iter().map(ToString::to_string).collect(),
        }
    }

    /// The same, with more options.
    #[must_use]
    pub fn and(&self, options: &[&str]) -> Self {
        let mut more = self.clone();
        more.options.extend(options.iter().map(ToString::to_string));
        more
    }

    /// A command that is ready to be started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Program::Client.path());
        command
            .args(&self.options)
            .args(arguments)
            .env_remove("KV_COORDINATOR")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, b"")
    }

    /// Runs a command with `input` as its standard input.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(arguments);
        let child = command.stdin(Stdio::piped()).spawn();
        let mut child = KilledOnDrop(child.expect("kvclient starts"));
        let mut stdin = child.0.stdin.take().expect("piped");
        let stdout = read_all(child.0.stdout.take().expect("piped"));
        let stderr = read_all(child.0.stderr.take().expect("piped"));
        let input = input.to_vec();
        // A command that needs no input may end before it has read it.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let what = format!("kvclient {} to end", arguments.join(" "));
        let status = wait_until(&what, PATIENCE, || match child.0.try_wait() {
            Ok(Some(status)) => Ok(status),
            seen => Err(format!("{seen:?}")),
        });
        writer.join().expect("the input is written or refused");
        Output {
            code: status.code().unwrap_or(-1),
            stdout: stdout.join().expect("the output is read"),
            stderr: String::from_utf8_lossy(&stderr.join().expect("the output is read"))
                .into_owned(),
        }
    }

    /// Runs a command that has to succeed, and gives what it printed, without the last line's end.
    ///
    /// # Panics
    /// When its exit code is not 0.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.code,
            0,
            "kvclient {}: {}{}",
            arguments.join(" "),
            output.text(),
            output.stderr
        );
        output.text().trim_end_matches('\n').to_owned()
    }

    /// Runs a command with `--output json`.
    ///
    /// # Errors
    /// What it said when its exit code is not 0.
    pub fn json(&self, arguments: &[&str]) -> Result<Vec<Value>, String> {
        let output = self.and(&["--output", "json"]).run(arguments);
        if output.code == 0 {
            Ok(output.json())
        } else {
            Err(format!("exit code {}: {}", output.code, output.stderr))
        }
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe is read");
        bytes
    })
}
