//! Standard output: text, or one JSON object a line.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::failure::Failure;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people and scripts.
    Text,
    /// One object a line.
    Json,
}

/// So much is gathered before it is written.
const BUFFER_BYTES: usize = 64 << 10;

/// Standard output.
pub(crate) struct Output {
    format: Format,
    buffer: Vec<u8>,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            buffer: Vec::new(),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, line: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.bytes(line.as_ref())?;
        self.bytes(b"\n")
    }

    /// Prints an object as a line of JSON.
    pub(crate) fn object(&mut self, object: &Object) -> Result<(), Failure> {
        let line = Value::Object(object.0.clone()).to_string();
        self.line(line)
    }

    /// Prints a line of text, or an object.
    pub(crate) fn either(
        &mut self,
        text: impl AsRef<[u8]>,
        object: &Object,
    ) -> Result<(), Failure> {
        if self.is_json() {
            self.object(object)
        } else {
            self.line(text)
        }
    }

    /// Says no: to standard error, or as an object.
    pub(crate) fn negative(&mut self, text: &str, object: &Object) -> Result<(), Failure> {
        if self.is_json() {
            return self.object(object);
        }
        self.flush()?;
        eprintln!("kvclient: {text}");
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&self.buffer).and_then(|()| stdout.flush());
        self.buffer.clear();
        written.map_err(Failure::of_output)
    }
}

/// A JSON object under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Bytes under their name if they are text, else as base64 under the name with `_base64`.
    pub(crate) fn with_bytes(self, name: &str, bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.with(name, text),
            Err(_) => self.with(&format!("{name}_base64"), STANDARD.encode(bytes)),
        }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Object;
    use serde_json::Value;

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let object = Object::new()
            .with_bytes("key", "schlüssel".as_bytes())
            .with_bytes("value", &[0xff, 0]);
        let text = Value::from(object).to_string();
        assert_eq!(text, r#"{"key":"schlüssel","value_base64":"/wA="}"#);
    }
}
