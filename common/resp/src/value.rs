//! Replies, and how they are written in either version of the protocol.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

/// Header and line end of a bulk string, at most.
const BULK_OVERHEAD_BYTES: usize = 32;

/// The version of the protocol that a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, which every connection begins with.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

impl Protocol {
    /// Its number.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// A reply. What RESP2 does not have is written there as Redis does: a map as a flat array, a double
/// and a text as a bulk string, a truth as 0 or 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A short word, such as `OK`.
    Status(Cow<'static, str>),
    /// An error: its code, a space, and the text. Line ends in it are written as spaces.
    Error(Cow<'static, str>),
    /// A whole number.
    Integer(i64),
    /// Bytes.
    Bulk(Bytes),
    /// Nothing.
    Null,
    /// Nothing, where a list was asked for.
    NullArray,
    /// A list.
    Array(Vec<Value>),
    /// Pairs.
    Map(Vec<(Value, Value)>),
    /// A list without an order.
    Set(Vec<Value>),
    /// A floating-point number.
    Double(f64),
    /// A text for people.
    Text(String),
    /// Out of turn: what was published. In RESP2 an array.
    Push(Vec<Value>),
}

impl Value {
    /// `+OK`.
    pub const OK: Self = Self::Status(Cow::Borrowed("OK"));

    /// Text as a bulk string.
    #[must_use]
    pub fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(text.as_ref()))
    }

    /// A count. Counts beyond 63 bits do not occur.
    #[must_use]
    pub fn count(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// An error.
    #[must_use]
    pub fn error(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(text.into())
    }

    /// Bytes, or nothing.
    #[must_use]
    pub fn bulk_or_null(value: Option<Bytes>) -> Self {
        value.map_or(Self::Null, Self::Bulk)
    }

    /// About how many bytes the reply takes.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Status(text) | Self::Error(text) => text.len(),
                Self::Bulk(bytes) => bytes.len(),
                Self::Text(text) => text.len(),
                Self::Array(items) | Self::Set(items) | Self::Push(items) => {
                    items.iter().map(Self::weight_bytes).sum()
                }
                Self::Map(pairs) => pairs
                    .iter()
                    .map(|(key, value)| key.weight_bytes() + value.weight_bytes())
                    .sum(),
                Self::Integer(_) | Self::Null | Self::NullArray | Self::Double(_) => 0,
            }
    }

    /// Whether this is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Writes the reply behind what `output` holds.
    pub fn write(&self, protocol: Protocol, output: &mut BytesMut) {
        let resp3 = protocol == Protocol::Resp3;
        match self {
            Self::Status(text) => line(output, b'+', text.as_bytes()),
            Self::Error(text) => line(output, b'-', text.as_bytes()),
            Self::Integer(number) => header(output, b':', *number),
            Self::Bulk(bytes) => bulk(output, bytes),
            Self::Null if resp3 => output.put_slice(b"_\r\n"),
            Self::Null => output.put_slice(b"$-1\r\n"),
            Self::NullArray if resp3 => output.put_slice(b"_\r\n"),
            Self::NullArray => output.put_slice(b"*-1\r\n"),
            Self::Array(items) => list(output, b'*', items, protocol),
            Self::Set(items) => list(output, if resp3 { b'~' } else { b'*' }, items, protocol),
            Self::Push(items) => list(output, if resp3 { b'>' } else { b'*' }, items, protocol),
            Self::Map(pairs) => {
                let length = if resp3 { pairs.len() } else { 2 * pairs.len() };
                header(output, if resp3 { b'%' } else { b'*' }, signed(length));
                for (key, value) in pairs {
                    key.write(protocol, output);
                    value.write(protocol, output);
                }
            }
            Self::Double(number) if resp3 => line(output, b',', double(*number).as_bytes()),
            Self::Double(number) => bulk(output, double(*number).as_bytes()),
            Self::Text(text) if resp3 => {
                header(output, b'=', signed(text.len() + 4));
                output.put_slice(b"txt:");
                output.put_slice(text.as_bytes());
                output.put_slice(b"\r\n");
            }
            Self::Text(text) => bulk(output, text.as_bytes()),
        }
    }
}

fn list(output: &mut BytesMut, kind: u8, items: &[Value], protocol: Protocol) {
    header(output, kind, signed(items.len()));
    for item in items {
        item.write(protocol, output);
    }
}

fn bulk(output: &mut BytesMut, bytes: &[u8]) {
    // At once: the line end behind a large one would double the buffer.
    output.reserve(bytes.len() + BULK_OVERHEAD_BYTES);
    header(output, b'$', signed(bytes.len()));
    output.put_slice(bytes);
    output.put_slice(b"\r\n");
}

fn line(output: &mut BytesMut, kind: u8, text: &[u8]) {
    output.put_u8(kind);
    output.extend(text.iter().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        byte => *byte,
    }));
    output.put_slice(b"\r\n");
}

fn header(output: &mut BytesMut, kind: u8, number: i64) {
    output.put_u8(kind);
    if let Ok(small @ 0..=9) = u8::try_from(number) {
        output.put_u8(b'0' + small);
    } else {
        output.put_slice(number.to_string().as_bytes());
    }
    output.put_slice(b"\r\n");
}

fn double(number: f64) -> String {
    if number.is_nan() {
        "nan".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "inf" } else { "-inf" }.to_owned()
    } else {
        number.to_string()
    }
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Protocol, Value};
    use bytes::BytesMut;

    fn written(value: &Value, protocol: Protocol) -> String {
        let mut output = BytesMut::new();
        value.write(protocol, &mut output);
        String::from_utf8(output.to_vec()).expect("text")
    }

    #[test]
    fn each_kind_in_both_versions() {
        let pair = (Value::bulk("k"), Value::Integer(-12));
        for (value, resp2, resp3) in [
            (Value::OK, "+OK\r\n", "+OK\r\n"),
            (Value::error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (Value::Integer(7), ":7\r\n", ":7\r\n"),
            (Value::bulk(""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (Value::Null, "$-1\r\n", "_\r\n"),
            (Value::NullArray, "*-1\r\n", "_\r\n"),
            (
                Value::Array(vec![Value::Null]),
                "*1\r\n$-1\r\n",
                "*1\r\n_\r\n",
            ),
            (Value::Set(vec![]), "*0\r\n", "~0\r\n"),
            (Value::Push(vec![]), "*0\r\n", ">0\r\n"),
            (
                Value::Map(vec![pair]),
                "*2\r\n$1\r\nk\r\n:-12\r\n",
                "%1\r\n$1\r\nk\r\n:-12\r\n",
            ),
            (Value::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (Value::Double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n"),
            (
                Value::Text("hi".to_owned()),
                "$2\r\nhi\r\n",
                "=6\r\ntxt:hi\r\n",
            ),
        ] {
            assert_eq!(written(&value, Protocol::Resp2), resp2, "{value:?}");
            assert_eq!(written(&value, Protocol::Resp3), resp3, "{value:?}");
        }
    }
}
