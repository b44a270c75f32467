//! What a running program logs, line by line as it comes, also of one that was killed meanwhile.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks: far shorter than what is waited for takes.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// The log of one run. Its file stays open, so the last words of a run can be read when it is over.
#[derive(Debug)]
pub struct LogTail {
    file: File,
    text: String,
    /// Where [`Self::wait_for`] looks from.
    from: usize,
}

impl LogTail {
    /// Follows the file at `path` from `start` on.
    pub(crate) fn open(path: &Path, start: u64) -> Self {
        let mut file = File::open(path).expect("the log opens");
        file.seek(SeekFrom::Start(start))
            .expect("the log is as long as before");
        Self {
            file,
            text: String::new(),
            from: 0,
        }
    }

    /// Has [`Self::wait_for`] look only at what comes from now on.
    pub fn skip(&mut self) {
        self.read();
        self.from = self.text.len();
    }

    /// Waits until `what` was logged, and comes back at once then.
    ///
    /// # Panics
    /// When it is not within `limit`.
    pub fn wait_for(&mut self, what: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.text[self.from..].contains(what) {
            assert!(
                Instant::now() < deadline,
                "waited {limit:?} for '{what}' in the log; it ends with: {}",
                self.text.lines().last().unwrap_or("nothing")
            );
            thread::sleep(LOOK_AGAIN);
            self.read();
        }
    }

    /// Whether `begins` was logged in this run, and `ends` not any more behind it.
    pub fn is_within(&mut self, begins: &str, ends: &str) -> bool {
        self.read();
        match self.text.rfind(begins) {
            Some(begun) => !self.text[begun..].contains(ends),
            None => false,
        }
    }

    fn read(&mut self) {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).expect("the log is read");
        self.text.push_str(&String::from_utf8_lossy(&bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::LogTail;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::time::Duration;

    #[test]
    fn a_beginning_without_its_end_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        let mut options = OpenOptions::new();
        let log = options.create(true).append(true).open(&path);
        let mut log = log.expect("opens");
        let mut tail = LogTail::open(&path, 0);
        let mut says = |text: &str| log.write_all(text.as_bytes()).expect("writes");
        assert!(!tail.is_within("begins", "ends"));
        says("it begins\n");
        assert!(tail.is_within("begins", "ends"));
        tail.wait_for("begins", Duration::ZERO);
        says("it ends\n");
        assert!(!tail.is_within("begins", "ends"));
        tail.skip();
        says("it begins again\n");
        tail.wait_for("begins", Duration::from_secs(60));
        assert!(tail.is_within("begins", "ends"));
    }
}
