//! A password in a file of its own: what stands on a command line, everybody on the machine can read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The longest file that is looked at.
const FILE_MAX_BYTES: u64 = 1024;
/// What others than the owner may do with the file: nothing.
const OTHERS: u32 = 0o077;

/// Why a password file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// It cannot be read.
    #[error("the password file {} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others than its owner can read or change it.
    #[error("others than its owner may use the password file {}; chmod 600 it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It holds something else.
    #[error(
        "the password file {} has to hold one line, the password, of 1 to {max} bytes",
        path.display()
    )]
    NoPassword {
        /// The file.
        path: PathBuf,
        /// How long a password may be.
        max: usize,
    },
}

/// The one line of a file that nobody but its owner can use, without its end.
///
/// # Errors
/// When there is no such file, or it holds no such line.
pub fn read(path: &Path, max: usize) -> Result<Vec<u8>, PasswordFileError> {
    let unreadable = |error| PasswordFileError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & OTHERS != 0 {
        let path = path.to_owned();
        return Err(PasswordFileError::Open { path });
    }
    let mut content = Vec::new();
    file.take(FILE_MAX_BYTES)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    let line = content.strip_suffix(b"\n").unwrap_or(&content);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() || line.len() > max || line.contains(&b'\n') {
        let path = path.to_owned();
        return Err(PasswordFileError::NoPassword { path, max });
    }
    Ok(line.to_vec())
}

#[cfg(test)]
mod tests {
    use super::{PasswordFileError, read};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const MAX: usize = 20;

    fn read_with(content: &[u8], mode: u32) -> Result<Vec<u8>, PasswordFileError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        fs::write(&path, content).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("sets the mode");
        read(&path, MAX)
    }

    #[test]
    fn the_line_is_the_password() {
        for content in [&b"open sesame"[..], b"open sesame\n", b"open sesame\r\n"] {
            let password = read_with(content, 0o600).expect("reads");
            assert_eq!(password, b"open sesame");
        }
        assert!(read_with(b"x", 0o400).is_ok());
    }

    #[test]
    fn a_file_that_others_can_use_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o666] {
            let refused = read_with(b"open sesame", mode);
            assert!(
                matches!(refused, Err(PasswordFileError::Open { .. })),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let large = vec![b'x'; 1 << 20];
        for content in [&b""[..], b"\n", b"two\nlines\n", &large[..=MAX], &large] {
            let refused = read_with(content, 0o600);
            assert!(matches!(refused, Err(PasswordFileError::NoPassword { .. })));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let absent = read(&folder.path().join("absent"), MAX);
        assert!(matches!(absent, Err(PasswordFileError::Unreadable { .. })));
    }
}
