//! A coordinator and its nodes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::cluster_options::{ANY_PORT, ClusterOptions};
use crate::copies::digests_at_one_position;
use crate::daemon::{Daemon, keep_addresses};
use crate::load::Load;
use crate::one_at_a_time::take_turn;
use crate::programs::Program;
use crate::proxy::Proxy;
use crate::status::Status;
use crate::user::User;
use crate::wait::{PATIENCE, wait_until};

/// The name of the coordinator in messages and file names.
const COORDINATOR: &str = "coordinator";
/// Lines of each log that a failed test prints.
const LOG_LINES: usize = 40;

/// A coordinator and nodes called `node-1`, `node-2`, …, with all that they write in a folder of its own.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    coordinator: Option<Daemon>,
    nodes: BTreeMap<String, Daemon>,
    /// Where each daemon listens. Kept across its restarts, as an operator would.
    addresses: BTreeMap<String, String>,
    /// What stands before a daemon, by its name.
    proxies: BTreeMap<String, Proxy>,
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts three nodes that all are in sync.
    #[must_use]
    pub fn of_three() -> Self {
        Self::start(ClusterOptions::default())
    }

    /// Starts nodes that listen for Redis clients, and a coordinator that answers as a Sentinel.
    #[must_use]
    pub fn with_redis_doors(nodes: usize) -> Self {
        Self::start(ClusterOptions::with_redis_doors(nodes))
    }

    /// Starts a cluster and waits until all its nodes are in sync.
    #[must_use]
    pub fn start(options: ClusterOptions) -> Self {
        let count = options.nodes;
        let mut cluster = Self::without_daemons(options);
        cluster.start_coordinator();
        for name in cluster.names() {
            cluster.start_node(&name);
        }
        cluster.wait_for_in_sync(count);
        cluster
    }

    /// The folder and the turn of a cluster, and nothing running yet.
    ///
    /// # Panics
    /// When no folder can be made.
    #[must_use]
    pub fn without_daemons(options: ClusterOptions) -> Self {
        let turn = take_turn();
        Self {
            options,
            coordinator: None,
            nodes: BTreeMap::new(),
            addresses: BTreeMap::new(),
            proxies: BTreeMap::new(),
            folder: tempfile::tempdir().expect("a folder for temporary files"),
            _turn: turn,
        }
    }

    /// The names of all nodes.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        (1..=self.options.nodes)
            .map(|number| format!("node-{number}"))
            .collect()
    }

    /// The folder in which everything of this cluster lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory of a daemon.
    #[must_use]
    pub fn data_dir(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Where a daemon listens.
    ///
    /// # Panics
    /// When it was never started.
    #[must_use]
    pub fn address(&self, name: &str) -> &str {
        let address = self.addresses.get(name);
        address.unwrap_or_else(|| panic!("{name} was never started"))
    }

    /// Where the coordinator listens.
    #[must_use]
    pub fn coordinator_address(&self) -> &str {
        self.address(COORDINATOR)
    }

    /// Where the running node `name` listens for Redis clients.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn redis_address(&self, name: &str) -> String {
        self.node(name).redis_address()
    }

    /// Where the coordinator listens as a Sentinel.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn sentinel_address(&self) -> String {
        let coordinator = self.coordinator.as_ref();
        coordinator.expect("the coordinator runs").redis_address()
    }

    /// Where the running node `name` shows its metrics.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn http_address(&self, name: &str) -> String {
        self.node(name).http_address()
    }

    /// Where the coordinator shows the cluster.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn coordinator_http_address(&self) -> String {
        let coordinator = self.coordinator.as_ref();
        coordinator.expect("the coordinator runs").http_address()
    }

    /// A person who asks the coordinator.
    #[must_use]
    pub fn user(&self) -> User {
        User::of_coordinator(self.coordinator_address())
    }

    /// Starts load whose operations may take `timeout`.
    #[must_use]
    pub fn load(&self, timeout: Duration, seed: u64) -> Load {
        Load::start(self.coordinator_address(), timeout, seed)
    }

    /// How the cluster is.
    ///
    /// # Panics
    /// When the coordinator does not answer.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::ask(self.coordinator_address()).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The name of the primary.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn primary(&self) -> String {
        self.status().primary().expect("the view has a primary")
    }

    /// The name of a backup.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn backup(&self) -> String {
        let backups = self.status().backups();
        backups.into_iter().next().expect("the view has a backup")
    }

    /// Waits until `matches` holds for the status.
    pub fn wait_for_status(&self, what: &str, matches: impl Fn(&Status) -> bool) -> Status {
        wait_until(what, PATIENCE, || {
            let status = Status::ask(self.coordinator_address())?;
            if matches(&status) {
                Ok(status)
            } else {
                Err(format!("{status:?}"))
            }
        })
    }

    /// Waits until the view has `count` members and its primary acts as such.
    pub fn wait_for_in_sync(&self, count: usize) -> Status {
        self.wait_for_status(&format!("{count} nodes in sync"), |status| {
            status.members_in_sync() == count
        })
    }

    /// Waits until a node other than `former` acts as primary.
    pub fn wait_for_other_primary(&self, former: &str) -> Status {
        self.wait_for_status(&format!("a primary other than {former}"), |status| {
            status.primary_acts() && status.primary().as_deref() != Some(former)
        })
    }

    /// Waits until the primary has committed `count` more entries, under load from elsewhere.
    pub fn wait_for_commits(&self, count: u64) {
        let from = self.status().committed();
        self.wait_for_status(&format!("{count} more commits"), |status| {
            status.committed().0 >= from.0 + count
        });
    }

    /// Starts the coordinator, at its former address if it had one.
    pub fn start_coordinator(&mut self) {
        let copies = self.options.nodes.to_string();
        let mut arguments = vec!["--copies".to_owned(), copies];
        arguments.extend(self.options.coordinator.iter().cloned());
        let daemon = self.start_daemon(COORDINATOR, Program::Coordinator, arguments);
        if let Some(proxy) = self.proxies.get(COORDINATOR) {
            proxy.lead_to(self.coordinator_address());
        }
        self.coordinator = Some(daemon);
    }

    /// Starts a node, at its former address if it had one, and waits until it listens.
    pub fn start_node(&mut self, name: &str) {
        let daemon = self.start_daemon(name, Program::Node, self.node_arguments(name));
        if let Some(proxy) = self.proxies.get(name) {
            proxy.lead_to(self.address(name));
        }
        self.nodes.insert(name.to_owned(), daemon);
    }

    /// Starts a node at its former address, and waits for nothing.
    pub fn begin_start(&mut self, name: &str) {
        let daemon = self.spawn_daemon(name, Program::Node, self.node_arguments(name));
        self.nodes.insert(name.to_owned(), daemon);
    }

    fn node_arguments(&self, name: &str) -> Vec<String> {
        let coordinator = self.way_to_coordinator();
        let arguments = ["--coordinator", coordinator, "--name", name].map(str::to_owned);
        let mut arguments = arguments.to_vec();
        arguments.extend(self.options.node.iter().cloned());
        if let Some(proxy) = self.proxies.get(name) {
            arguments.extend(["--advertise".to_owned(), proxy.address().to_owned()]);
        }
        arguments
    }

    fn start_daemon(&mut self, name: &str, program: Program, more: Vec<String>) -> Daemon {
        let mut daemon = self.spawn_daemon(name, program, more);
        let address = daemon.wait_for_address();
        self.addresses.insert(name.to_owned(), address);
        daemon
    }

    fn spawn_daemon(&self, name: &str, program: Program, more: Vec<String>) -> Daemon {
        let data_dir = self.data_dir(name);
        let listen = self.addresses.get(name).map_or(ANY_PORT, String::as_str);
        let data_dir = data_dir.to_str().expect("a path of our own is text");
        let arguments = ["--listen", listen, "--data-dir", data_dir].map(str::to_owned);
        let mut arguments = arguments.to_vec();
        arguments.extend(more);
        let log_file = self.log_file(name);
        let former_log = fs::read_to_string(&log_file).unwrap_or_default();
        keep_addresses(&mut arguments, &former_log);
        Daemon::spawn(name, program, &arguments, &log_file)
    }

    /// Where nodes and clients reach the coordinator.
    ///
    /// # Panics
    /// When it was never started.
    #[must_use]
    pub fn way_to_coordinator(&self) -> &str {
        match self.proxies.get(COORDINATOR) {
            Some(proxy) => proxy.address(),
            None => self.coordinator_address(),
        }
    }

    /// Puts a proxy before every daemon, so that all connections between them, and those of clients that
    /// take [`Self::way_to_coordinator`], can be cut. To be called before anything is started.
    pub fn put_proxies_between(&mut self, seed: u64) {
        let mut names = self.names();
        names.push(COORDINATOR.to_owned());
        for (number, name) in names.into_iter().enumerate() {
            self.proxies.insert(name, Proxy::open(seed + number as u64));
        }
    }

    /// The proxies, if there are any.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.proxies.values()
    }

    /// The running daemon `name`.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn node(&self, name: &str) -> &Daemon {
        let node = self.nodes.get(name);
        node.unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// `kill -9` of a node.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_node(&mut self, name: &str) {
        let node = self.nodes.remove(name);
        node.unwrap_or_else(|| panic!("{name} does not run")).kill();
    }

    /// A clean stop of a node.
    ///
    /// # Panics
    /// When it does not run, or does not stop.
    pub fn stop_node(&mut self, name: &str) {
        let node = self.nodes.remove(name);
        node.unwrap_or_else(|| panic!("{name} does not run")).stop();
    }

    /// Waits until a node has ended by itself, with exit code 0.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_for_end_of(&mut self, name: &str) {
        let node = self.nodes.remove(name);
        let mut node = node.unwrap_or_else(|| panic!("{name} does not run"));
        let status = node.wait_for_end(PATIENCE);
        assert!(status.success(), "{name} ended with {status}");
    }

    /// `kill -9` of the coordinator.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_coordinator(&mut self) {
        let coordinator = self.coordinator.take();
        coordinator.expect("the coordinator runs").kill();
    }

    /// Has the coordinator read its configuration again (SIGHUP).
    ///
    /// # Panics
    /// When it does not run.
    pub fn hang_up_coordinator(&self) {
        let coordinator = self.coordinator.as_ref();
        coordinator.expect("the coordinator runs").hang_up();
    }

    /// Has a running node read its configuration again (SIGHUP).
    ///
    /// # Panics
    /// When it does not run.
    pub fn hang_up_node(&self, name: &str) {
        self.node(name).hang_up();
    }

    /// `kill -9` of everything.
    pub fn kill_all(&mut self) {
        self.kill_coordinator();
        for (_, node) in std::mem::take(&mut self.nodes) {
            node.kill();
        }
    }

    /// Removes what the coordinator or a node has stored, as when its disk is lost.
    ///
    /// # Panics
    /// When it cannot be removed.
    pub fn lose_disk_of(&self, name: &str) {
        fs::remove_dir_all(self.data_dir(name)).expect("the folder can be removed");
    }

    /// Has every later start of the coordinator get these options.
    pub fn set_coordinator_options(&mut self, options: &[&str]) {
        self.options.coordinator = options.iter().map(|option| (*option).to_owned()).collect();
    }

    /// Has every later node look for the coordinator at `address`, and a later coordinator listen there.
    pub fn set_coordinator_address(&mut self, address: &str) {
        let name = COORDINATOR.to_owned();
        self.addresses.insert(name, address.to_owned());
    }

    /// The process ids of everything that runs.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let running = self.nodes.values().chain(&self.coordinator);
        running.map(Daemon::pid).collect()
    }

    /// The name of the data set that a node works on. A full copy from another node makes a new one.
    ///
    /// # Panics
    /// When the node has none.
    #[must_use]
    pub fn generation(&self, name: &str) -> String {
        let current = self.data_dir(name).join("CURRENT");
        fs::read_to_string(current).expect("the node has data")
    }

    /// Whether a node keeps data that a copy took the place of.
    ///
    /// # Panics
    /// When its folder cannot be read.
    #[must_use]
    pub fn has_set_data_aside(&self, name: &str) -> bool {
        let entries = fs::read_dir(self.data_dir(name)).expect("the folder is read");
        entries.filter_map(Result::ok).any(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("set-aside-")
        })
    }

    /// Checks that all nodes hold the same keys, values and expiries.
    ///
    /// # Panics
    /// When they do not.
    pub fn expect_equal_copies(&self) {
        let names = self.names();
        let members: Vec<_> = names.iter().map(|name| self.address(name)).collect();
        let digests = digests_at_one_position(self.address(&self.primary()), &members);
        assert!(
            digests.iter().all(|digest| *digest == digests[0]),
            "the copies differ: {digests:?}"
        );
    }

    /// What the present run of the node has logged.
    #[must_use]
    pub fn log_of(&self, name: &str) -> String {
        self.node(name).log()
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.log"))
    }

    fn print_logs(&self) {
        for name in self.addresses.keys() {
            let log = fs::read(self.log_file(name)).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<_> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(LOG_LINES)..];
            eprintln!("--- the end of {name}'s log\n{}", end.join("\n"));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            self.print_logs();
        }
    }
}
