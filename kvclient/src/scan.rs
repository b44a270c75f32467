//! A walk over the keys.

use std::collections::VecDeque;

use bytes::Bytes;
use kv_common::command::{Command, Reply};

use crate::client::Client;
use crate::error::ClientError;

/// How many keys a page looks at.
const PAGE_KEYS: u32 = 1000;

/// A walk over the keys, page by page.
#[derive(Debug)]
pub struct Scan {
    client: Client,
    pattern: Option<Bytes>,
    page: VecDeque<Bytes>,
    /// None: the walk is over.
    cursor: Option<u64>,
}

impl Scan {
    pub(crate) fn new(client: Client, pattern: Option<Bytes>) -> Self {
        Self {
            client,
            pattern,
            page: VecDeque::new(),
            cursor: Some(0),
        }
    }

    /// The next key; none at the end.
    ///
    /// # Errors
    /// See [`ClientError`]. After an error that asks for it, asking again goes on where it stood.
    pub async fn next_key(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(key) = self.page.pop_front() {
                return Ok(Some(key));
            }
            let Some(cursor) = self.cursor else {
                return Ok(None);
            };
            let command = Command::Scan {
                cursor,
                limit: PAGE_KEYS,
                pattern: self.pattern.clone(),
            };
            match self.client.execute(command).await? {
                Reply::Page { cursor, keys } => {
                    self.cursor = (cursor != 0).then_some(cursor);
                    self.page.extend(keys);
                }
                other => return Err(self.client.unexpected(&other)),
            }
        }
    }
}
