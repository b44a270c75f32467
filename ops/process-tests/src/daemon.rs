//! A process under test.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::log_tail::LogTail;
use crate::programs::Program;
use crate::wait::{PATIENCE, wait_until};

/// What a daemon logs with the address at which Redis clients reach it.
const SERVING_REDIS: &str = "serving Redis clients";
/// The same for browsers and Prometheus.
const SHOWING_HTTP: &str = "over HTTP";

/// A child process that is killed and reaped when the value goes.
#[derive(Debug)]
pub(crate) struct KilledOnDrop(pub(crate) Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running program whose output goes to a log file. Killed when the value goes.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: KilledOnDrop,
    log: PathBuf,
    /// Where this run begins in the log: a program that is started again goes on in the same file.
    log_start: u64,
}

impl Daemon {
    /// Starts `program`, called `name` in messages, with its output appended to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn<A: AsRef<OsStr>>(
        name: &str,
        program: Program,
        arguments: &[A],
        log: &Path,
    ) -> Self {
        let mut command = Command::new(program.path());
        command.args(arguments).stdin(Stdio::null());
        Self::spawn_command(name, command, log)
    }

    /// The same for a command with an environment and an input of its own.
    pub(crate) fn spawn_command(name: &str, mut command: Command, log: &Path) -> Self {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file of our own opens");
        let log_start = output.metadata().expect("a file has a length").len();
        let errors = output.try_clone().expect("a file handle is cloned");
        let child = command
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|cause| panic!("{name} does not start: {cause}"));
        Self {
            name: name.to_owned(),
            child: KilledOnDrop(child),
            log: log.to_path_buf(),
            log_start,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// The most that this run has had in memory, in bytes.
    ///
    /// # Panics
    /// When the system does not tell it.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the daemon runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let words = line.map(|line| line.trim().trim_end_matches(" kB").parse::<u64>());
        words.expect("a line").expect("a number") << 10
    }

    /// What this run has logged.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        let mut file = File::open(&self.log).expect("the log opens");
        file.seek(SeekFrom::Start(self.log_start))
            .expect("the log is as long as before");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("the log is read");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Follows what this run logs, from its first line on.
    #[must_use]
    pub fn follow_log(&self) -> LogTail {
        LogTail::open(&self.log, self.log_start)
    }

    /// Waits until this run has logged a line for which `matches` gives a value.
    ///
    /// # Panics
    /// When it ends first, or takes too long.
    pub fn wait_for_line<T>(&mut self, what: &str, matches: impl Fn(&str) -> Option<T>) -> T {
        let name = self.name.clone();
        wait_until(&format!("{name} to log {what}"), PATIENCE, || {
            let ended = self.has_ended();
            let log = self.log();
            if let Some(found) = log.lines().find_map(&matches) {
                return Ok(found);
            }
            assert!(
                ended.is_none(),
                "{name} ended before it logged {what}:\n{log}"
            );
            Err(log.lines().last().unwrap_or("nothing").to_owned())
        })
    }

    /// Waits until it logs the address that it listens on.
    pub fn wait_for_address(&mut self) -> String {
        self.wait_for_line("the address that it listens on", |line| {
            let says_so = line.contains("listening") || line.contains("ready");
            let start = line.find("127.0.0.1:").filter(|_| says_so)?;
            let (host, rest) = line[start..].split_once(':')?;
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            (port != "0").then(|| format!("{host}:{port}"))
        })
    }

    /// Where it listens for Redis clients, which it logged when it started to listen.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn redis_address(&self) -> String {
        self.logged_address(SERVING_REDIS)
    }

    /// Where it shows what it does over HTTP, which it logged when it began to.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn http_address(&self) -> String {
        self.logged_address(SHOWING_HTTP)
    }

    fn logged_address(&self, what: &str) -> String {
        let log = self.log();
        address_in(&log, what)
            .unwrap_or_else(|| panic!("{} does not log {what}:\n{log}", self.name))
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child
            .0
            .try_wait()
            .expect("our own child is waited for")
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait_until(&format!("{name} to end"), limit, || {
            self.has_ended().ok_or_else(|| "still running".to_owned())
        })
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Panics
    /// When it has ended before.
    pub fn kill(mut self) {
        let ended = self.has_ended();
        assert!(
            ended.is_none(),
            "{} had ended by itself: {ended:?}",
            self.name
        );
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// When it does not stop, or not with exit code 0.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_for_end(PATIENCE);
        assert!(status.success(), "{} stopped with {status}", self.name);
    }

    /// Holds it still, as a machine that stands still would be.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Has it read its configuration again.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has a pid"), signal).expect("our own child is signalled");
    }
}

/// Has a daemon that is started again, and wrote `former_log`, listen for Redis clients and browsers where it did.
pub(crate) fn keep_addresses(arguments: &mut [String], former_log: &str) {
    for (flag, said) in [
        ("--redis-listen", SERVING_REDIS),
        ("--sentinel-listen", SERVING_REDIS),
        ("--http-listen", SHOWING_HTTP),
    ] {
        let flag = arguments.iter().position(|argument| argument == flag);
        let address = flag.and_then(|flag| arguments.get_mut(flag + 1));
        if let (Some(address), Some(former)) = (address, address_in(former_log, said)) {
            *address = former;
        }
    }
}

fn address_in(log: &str, what: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains(what))?;
    let start = line.find("127.0.0.1:")?;
    let address = line[start..].split_ascii_whitespace().next();
    address.map(str::to_owned)
}
