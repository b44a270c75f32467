//! What a daemon shows over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::wait::PATIENCE;

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// 200 if all is well.
    pub status: u16,
    /// What came with it.
    pub body: String,
}

/// Asks the daemon at `address` for `path`.
///
/// # Panics
/// When it does not answer.
#[must_use]
pub fn http_get(address: &str, path: &str) -> HttpAnswer {
    let mut stream = TcpStream::connect(address).expect("the HTTP door is open");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket of our own");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .expect("the request is sent");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the answer is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    HttpAnswer {
        status: status.expect("a status"),
        body: body.to_owned(),
    }
}

/// The metrics of one daemon at one moment.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Asks the daemon at `address`.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn of(address: &str) -> Self {
        let answer = http_get(address, "/metrics");
        assert_eq!(answer.status, 200, "{}", answer.body);
        Self(answer.body)
    }

    /// The value of a series, written as `name{label="value"}`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn value(&self, series: &str) -> f64 {
        let line = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = line.unwrap_or_else(|| panic!("there is no {series} in\n{}", self.0));
        value.parse().expect("a number")
    }

    /// The text itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}
