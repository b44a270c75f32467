//! Where the programs under test are.

use std::path::PathBuf;
use std::{env, fmt};

/// The variable that names the folder of the programs.
const FOLDER_VARIABLE: &str = "KV_BIN_DIR";

/// A program of the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The coordinator.
    Coordinator,
    /// A node.
    Node,
    /// The command line.
    Client,
}

impl Program {
    /// The file of the program: in `KV_BIN_DIR` if that is set, else where cargo puts programs, beside
    /// the folder of this test's own executable.
    ///
    /// # Panics
    /// When it is not there; the message names the command that builds it.
    #[must_use]
    pub fn path(self) -> PathBuf {
        let path = folder().join(self.to_string());
        assert!(
            path.is_file(),
            "{} is not there; build the programs with `cargo build -p coordinator -p kvnode -p \
             kvclient`, or name their folder in {FOLDER_VARIABLE}",
            path.display()
        );
        path
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coordinator => "coordinator",
            Self::Node => "kvnode",
            Self::Client => "kvclient",
        })
    }
}

fn folder() -> PathBuf {
    if let Some(folder) = env::var_os(FOLDER_VARIABLE) {
        return PathBuf::from(folder);
    }
    // target/debug/deps/process-0123456789abcdef → target/debug
    let executable = env::current_exe().expect("a running test has an executable");
    executable
        .ancestors()
        .nth(2)
        .expect("cargo puts tests two folders deep")
        .to_path_buf()
}
