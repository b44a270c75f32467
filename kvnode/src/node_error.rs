//! Why a node does not start, or ends by itself.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use kv_daemon::password_file::PasswordFileError;
use kv_http::HttpError;
use kv_net::ListenError;
use kvnode_storage::{DataDirError, DataSetError, MetaError};
use rand::rngs::SysError;

/// Why a node ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It cannot show its metrics.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Nobody could reach it.
    #[error(
        "--{listen} {address} is no address that others can reach; say with --{advertise} which one is"
    )]
    NoAdvertisedAddress {
        /// The flag that says where it listens.
        listen: &'static str,
        /// The flag that would say where it is reached.
        advertise: &'static str,
        /// Where it listens.
        address: SocketAddr,
    },
    /// There would be nowhere to write `db.txt` to.
    #[error("--db-txt {}: the folder is not there; make it, or name another file", path.display())]
    NoDbTxtFolder {
        /// The file.
        path: PathBuf,
    },
    /// Redis clients could not be asked for the password.
    #[error(transparent)]
    PasswordFile(#[from] PasswordFileError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Nor its meta records.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// Nor its data.
    #[error(transparent)]
    DataSet(#[from] DataSetError),
    /// The system gives no randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] SysError),
    /// The system gives no thread, signal or socket.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    /// The disk works again, and the system does not start the program anew.
    #[error("the program cannot start anew: {0}")]
    StartAnew(io::Error),
    /// The coordinator will never take this node.
    #[error("{why}")]
    Hopeless {
        /// Why.
        why: String,
    },
    /// It was asked to stop, and not everything was written down.
    #[error("the stop was not clean: {why}")]
    UncleanStop {
        /// Why.
        why: String,
    },
}
