//! How commands end: what is said, and the exit code.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use kv_common::id::Address;
use kv_common::limits::VALUE_MAX_BYTES;
use kv_common::refusal::Refusal;
use kvclient::ClientError;

/// How a command that was carried out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done.
    Done,
    /// The answer is no: no such key, a condition failed, copies differ.
    Negative,
    /// It is done but for some keys, which were named.
    LeftOut,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It makes no sense as it was given.
    #[error("{what}")]
    Usage { what: String },
    /// A file that was named cannot be used.
    #[error("{file}: {cause}")]
    File { file: String, cause: String },
    /// The Redis that was named is not reached, or went away.
    #[error("Redis at {address}: {cause}; check that it runs, and what --redis names")]
    RedisAway { address: Address, cause: String },
    /// The Redis that was named does not do what it is asked.
    #[error("Redis at {address} {what}")]
    RedisUnfit { address: Address, what: String },
    /// Standard output or input fails.
    #[error("standard {which}: {cause}")]
    Stream {
        which: &'static str,
        cause: io::Error,
    },
    /// Standard input is no value.
    #[error(
        "a value has at most {VALUE_MAX_BYTES} bytes; standard input has {}",
        bytes.map_or("more".to_owned(), |bytes| bytes.to_string())
    )]
    InputTooLong {
        /// Its length, where that can be known without reading it.
        bytes: Option<u64>,
    },
    /// The library says why.
    #[error("{0}{advice}", advice = advice(.0))]
    Client(#[from] ClientError),
    /// The user did not want to wait for it.
    #[error("interrupted")]
    Interrupted,
    /// Nobody can do anything about it here.
    #[error("{what}")]
    Internal { what: String },
}

impl Failure {
    pub(crate) fn of_file(file: &Path, cause: &impl ToString) -> Self {
        Self::File {
            file: file.display().to_string(),
            cause: cause.to_string(),
        }
    }

    pub(crate) fn of_output(cause: io::Error) -> Self {
        Self::Stream {
            which: "output",
            cause,
        }
    }

    pub(crate) fn of_input(cause: io::Error) -> Self {
        Self::Stream {
            which: "input",
            cause,
        }
    }

    /// Whether whoever read the output went away, as `head` does.
    fn reader_went_away(&self) -> bool {
        matches!(self, Self::Stream { cause, .. } if cause.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::File { .. } | Self::RedisUnfit { .. } => 2,
            Self::RedisAway { .. } => 69,
            Self::Client(error) => match error {
                ClientError::NobodyToAsk { .. } | ClientError::DeadlinePassed { .. } => 69,
                ClientError::OutcomeUnknown => 75,
                ClientError::Refused(_) => 77,
                ClientError::Unexpected { .. } | ClientError::Closed => 70,
            },
            Self::InputTooLong { .. } => 77,
            // As a shell counts a program that SIGINT ended.
            Self::Interrupted => 130,
            Self::Stream { .. } | Self::Internal { .. } => 70,
        }
    }
}

/// Says on standard error why a command failed.
pub(crate) fn complain(failure: &Failure) {
    eprintln!("kvclient: {}", failure.to_string().replace('\n', " "));
}

/// Says why a command failed, if it did, and gives the exit code.
pub(crate) fn exit_code(result: &Result<Verdict, Failure>) -> ExitCode {
    match result {
        Ok(Verdict::Done) => ExitCode::SUCCESS,
        Ok(Verdict::Negative) => ExitCode::from(1),
        Ok(Verdict::LeftOut) => ExitCode::from(65),
        Err(failure) if failure.reader_went_away() => ExitCode::SUCCESS,
        Err(failure) => {
            complain(failure);
            ExitCode::from(failure.code())
        }
    }
}

fn advice(error: &ClientError) -> &'static str {
    match error {
        ClientError::NobodyToAsk { .. } => {
            "; check that the cluster runs, and what --coordinator and --nodes name"
        }
        ClientError::DeadlinePassed { .. } => "; try again, or allow more with --timeout",
        ClientError::OutcomeUnknown => "; look before you try again",
        ClientError::Refused(Refusal::TooFewInSync { .. }) => {
            "; nothing was written: bring nodes back, see 'kvclient status'"
        }
        ClientError::Refused(_) | ClientError::Unexpected { .. } | ClientError::Closed => "",
    }
}
