use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{LINE_MAX_BYTES, Limits, ProtocolError, RequestReader, Taken};

const LIMITS: Limits = Limits {
    arguments_max: 100,
    argument_max_bytes: 1000,
    request_max_bytes: 20_000,
};

fn read_all(input: &[u8]) -> Result<Vec<Taken>, ProtocolError> {
    let mut reader = RequestReader::new(LIMITS);
    let mut input = BytesMut::from(input);
    let mut all = Vec::new();
    while let Some(taken) = reader.take(&mut input)? {
        all.push(taken);
    }
    Ok(all)
}

fn request(words: &[&str]) -> Taken {
    Taken::Request(
        words
            .iter()
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect(),
    )
}

#[test]
fn requests_of_both_forms_come_out_in_order() {
    let input = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n*0\r\n\r\n*-1\r\nset k \"v w\"\n";
    let read = read_all(input).expect("reads");
    let expected = [
        request(&["GET", "a"]),
        request(&["PING"]),
        Taken::Nothing,
        Taken::Nothing,
        Taken::Nothing,
        request(&["set", "k", "v w"]),
    ];
    assert_eq!(read, expected);
}

#[test]
fn who_has_not_said_the_password_sends_little() {
    let input = |words: usize| format!("*{words}\r\n{}", "$1\r\na\r\n".repeat(words));
    let read = |input: &str, is_restricted| {
        let mut reader = RequestReader::new(LIMITS);
        reader.restrict(true);
        reader.restrict(is_restricted);
        reader.take(&mut BytesMut::from(input))
    };
    assert_eq!(read(&input(11), true), Err(ProtocolError::RestrictedCount));
    assert!(matches!(
        read(&input(10), true),
        Ok(Some(Taken::Request(_)))
    ));
    assert!(matches!(
        read(&input(11), false),
        Ok(Some(Taken::Request(_)))
    ));
    let large = Limits {
        argument_max_bytes: 1 << 20,
        request_max_bytes: 1 << 20,
        ..LIMITS
    };
    let mut reader = RequestReader::new(large);
    reader.restrict(true);
    let taken = reader.take(&mut BytesMut::from("*1\r\n$16385\r\n"));
    assert_eq!(taken, Err(ProtocolError::RestrictedLength));
}

#[test]
fn what_is_no_request_is_refused_in_the_words_of_redis() {
    for (input, text) in [
        ("*x\r\n", "Protocol error: invalid multibulk length"),
        ("*101\r\n", "Protocol error: invalid multibulk length"),
        (
            "*99999999999999999999\r\n",
            "Protocol error: invalid multibulk length",
        ),
        ("*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$1001\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$x\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n*1\r\n", "Protocol error: expected '$', got '*'"),
        ("*1\r\n:1\r\n", "Protocol error: expected '$', got ':'"),
        (
            "get \"a\r\n",
            "Protocol error: unbalanced quotes in request",
        ),
    ] {
        let error = read_all(input.as_bytes()).expect_err(input);
        assert_eq!(error.to_string(), text, "{input:?}");
    }
}

#[test]
fn lines_without_an_end_are_refused() {
    for (start, error) in [
        ("*", ProtocolError::CountLine),
        ("*1\r\n$", ProtocolError::LengthLine),
        ("x", ProtocolError::InlineLine),
    ] {
        let mut input = start.as_bytes().to_vec();
        input.resize(start.len() + LINE_MAX_BYTES + 1, b'1');
        assert_eq!(read_all(&input), Err(error), "{start:?}");
    }
}

#[test]
fn the_length_of_a_whole_request_is_bounded() {
    let mut input = b"*100\r\n".to_vec();
    for _ in 0..100 {
        input.extend_from_slice(b"$900\r\n");
        input.extend_from_slice(&[b'x'; 900]);
        input.extend_from_slice(b"\r\n");
    }
    let max = LIMITS.request_max_bytes;
    assert_eq!(read_all(&input), Err(ProtocolError::RequestLength { max }));
}

#[test]
fn what_is_announced_is_not_held() {
    let mut reader = RequestReader::new(LIMITS);
    let mut input = BytesMut::from(&b"*3\r\n$3\r\nSET\r\n$900\r\n"[..]);
    assert_eq!(reader.take(&mut input), Ok(None));
    let held = reader.held_bytes();
    assert!((3..200).contains(&held), "{held}");
}

#[test]
fn nothing_is_read_after_a_failure() {
    let mut reader = RequestReader::new(LIMITS);
    let mut input = BytesMut::from(&b"*x\r\nPING\r\n"[..]);
    assert!(reader.take(&mut input).is_err());
    assert_eq!(reader.take(&mut input), Ok(None));
}

fn encoded(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Bytes that are almost requests.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "*1\r\n", "*-1\r\n", "*2\r\n", "$1\r\n", "$0\r\n", "a\r\n", "\r\n", "\"", "'", "*", "$",
        "99999",
    ]);
    vec(
        prop_oneof![
            piece.prop_map(|text| text.as_bytes().to_vec()),
            vec(any::<u8>(), 0..4)
        ],
        0..60,
    )
    .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn requests_come_back_however_they_are_cut(
        requests in vec(vec(vec(any::<u8>(), 0..50), 1..6), 1..6),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let whole: Vec<u8> = requests.iter().flat_map(|request| encoded(request)).collect();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
        places.push(whole.len());
        places.sort_unstable();
        let mut reader = RequestReader::new(LIMITS);
        let (mut input, mut from, mut read) = (BytesMut::new(), 0, Vec::new());
        for place in places {
            input.extend_from_slice(&whole[from..place]);
            from = place;
            while let Some(taken) = reader.take(&mut input).expect("a request") {
                read.push(taken);
            }
        }
        let expected: Vec<Taken> = requests
            .into_iter()
            .map(|request| Taken::Request(request.into_iter().map(Bytes::from).collect()))
            .collect();
        prop_assert_eq!(read, expected);
        prop_assert!(input.is_empty());
    }

    #[test]
    fn any_bytes_read_the_same_whole_and_one_by_one(bytes in nearly()) {
        let at_once = {
            let mut reader = RequestReader::new(LIMITS);
            let mut input = BytesMut::from(&bytes[..]);
            drain(&mut reader, &mut input)
        };
        let mut reader = RequestReader::new(LIMITS);
        let (mut input, mut read, mut failed) = (BytesMut::new(), Vec::new(), None);
        for byte in bytes {
            input.extend_from_slice(&[byte]);
            let (more, error) = drain(&mut reader, &mut input);
            read.extend(more);
            failed = failed.or(error);
        }
        prop_assert_eq!((read, failed), at_once);
    }
}

fn drain(reader: &mut RequestReader, input: &mut BytesMut) -> (Vec<Taken>, Option<ProtocolError>) {
    let mut read = Vec::new();
    loop {
        match reader.take(input) {
            Ok(Some(taken)) => read.push(taken),
            Ok(None) => return (read, None),
            Err(error) => return (read, Some(error)),
        }
    }
}
