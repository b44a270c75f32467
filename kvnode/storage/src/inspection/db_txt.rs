//! Looking at a `db.txt`.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use kv_common::db_txt::{DbTxtError, Item, Reader};
use kv_common::id::Position;

/// What a `db.txt` holds.
#[derive(Debug, Default)]
pub(crate) struct DbTxtContent {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) pairs: u64,
    pub(crate) position: Option<Position>,
    pub(crate) error: Option<DbTxtError>,
}

impl DbTxtContent {
    pub(crate) fn is_sound(&self) -> bool {
        self.error.is_none()
    }
}

/// Reads the file at `path` through, if there is one.
pub(crate) fn look(path: &Path) -> io::Result<Option<DbTxtContent>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = DbTxtContent {
        path: path.to_owned(),
        bytes: file.metadata()?.len(),
        ..DbTxtContent::default()
    };
    let mut reader = Reader::new(BufReader::new(file));
    loop {
        match reader.next_item() {
            Ok(Some(Item::Pair { .. })) => content.pairs += 1,
            Ok(Some(Item::Position(position))) => content.position = Some(position),
            Ok(Some(Item::Expires { .. } | Item::OddToken { .. })) => {}
            Ok(None) => return Ok(Some(content)),
            Err(error) => {
                content.error = Some(error);
                return Ok(Some(content));
            }
        }
    }
}
