//! Cuts the power under a node's storage, again and again, and looks what came back.
//!
//! A writer process works on an ext4 file system in an image file, through a loop device. It is
//! killed, and the image is copied at once: what the system only held in memory is missing from the
//! copy, as after a power cut. The copy is mounted, the data opened, and compared with what must be
//! there. The next round goes on from the copy. Needs root and a mount namespace of its own;
//! `ops/power-cut` sees to both.
//!
//! | file | what it does |
//! |---|---|
//! | `workload.rs` | what is written: the same for writer and judge |
//! | `writer.rs` | the process that is killed |
//! | `image.rs` | file systems in image files |
//! | `judge.rs` | what must be there |
//! | `rounds.rs` | one cut after the other |

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod image;
mod judge;
#[path = "../../tests/support/numbers.rs"]
mod numbers;
mod rounds;
mod workload;
mod writer;

use clap::{Parser, ValueEnum};
use kv_common::message::control::FsyncMode;

use crate::rounds::Rounds;
use crate::writer::Order;

/// Cuts the power under a node's storage.
#[derive(Debug, Parser)]
enum Arguments {
    /// Cut again and again, and judge each time
    Rounds(Rounds),
    /// Write until killed (started by `rounds`)
    Write(Order),
}

/// When an entry is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fsync {
    /// After its `fdatasync`.
    Always,
    /// Before it.
    Everysec,
}

impl From<Fsync> for FsyncMode {
    fn from(fsync: Fsync) -> Self {
        match fsync {
            Fsync::Always => Self::Always,
            Fsync::Everysec => Self::EverySec,
        }
    }
}

fn main() {
    match Arguments::parse() {
        Arguments::Rounds(rounds) => rounds.run(),
        Arguments::Write(order) => writer::write(&order),
    }
}
