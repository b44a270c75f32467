//! The key space as text, `db.txt`.
//!
//! One pair a line, `key value`, separated by white space. A reader takes each line as
//! `while (line >> key >> value) db[key] = value`: several pairs may stand on a line, an odd last
//! token is ignored, a later pair for a key wins. What this plain form has no word for stands in
//! lines of one token, which that reader skips:
//!
//! | line | means |
//! |---|---|
//! | `%encoding=percent`, as the first line | all other tokens are percent-encoded |
//! | `%expires=UNIX_MS,KEY`, after the pair | when the key goes by itself |
//! | `%position=EPOCH,SEQ`, as the last line | the position in the log that the file stands for |
//!
//! A file is encoded when some key or value is empty or has bytes outside printable ASCII or white
//! space, or when some key looks like one of these tokens. Encoded are the bytes outside printable
//! ASCII, white space and `%` itself; an empty string is `%`. In a file that is not encoded, tokens
//! are taken as they are.

mod reader;
#[cfg(test)]
mod tests;
mod token;
mod writer;

pub use reader::{DbTxtError, Item, Reader};
pub use writer::{Encoding, EncodingScan, Writer};
