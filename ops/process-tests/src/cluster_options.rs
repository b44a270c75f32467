//! What clusters tests start.

/// The port that the system replaces by a free one.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

/// What cluster to start.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How many nodes.
    pub nodes: usize,
    /// More options for the coordinator.
    pub coordinator: Vec<String>,
    /// More options for every node.
    pub node: Vec<String>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            nodes: 3,
            coordinator: Vec::new(),
            node: Vec::new(),
        }
    }
}

impl ClusterOptions {
    /// So many nodes that listen for Redis clients, and a coordinator that answers as a Sentinel.
    #[must_use]
    pub fn with_redis_doors(nodes: usize) -> Self {
        let at_any_port = |flag: &str| vec![flag.to_owned(), ANY_PORT.to_owned()];
        Self {
            nodes,
            coordinator: at_any_port("--sentinel-listen"),
            node: at_any_port("--redis-listen"),
        }
    }
}
