use std::collections::BTreeMap;
use std::io::BufReader;

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{DbTxtError, Encoding, EncodingScan, Item, Reader, Writer};
use crate::id::{Epoch, Position, Seq};
use crate::limits::{KEY_MAX_BYTES, VALUE_MAX_BYTES};
use crate::time::UnixMs;

type Pairs = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

/// The report's program: `while (getline(file, line)) { while (line >> a >> b) db[a] = b; }`.
fn old_program_reads(file: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut db = BTreeMap::new();
    for line in file.split(|byte| *byte == b'\n') {
        let space = |byte: &u8| b" \t\n\x0b\x0c\r".contains(byte);
        let mut words = line.split(space).filter(|word| !word.is_empty());
        while let (Some(a), Some(b)) = (words.next(), words.next()) {
            db.insert(a.to_vec(), b.to_vec());
        }
    }
    db
}

fn write(pairs: &Pairs, position: Option<Position>) -> Vec<u8> {
    let mut scan = EncodingScan::new();
    for (key, (value, _)) in pairs {
        scan.note(key, value);
    }
    let mut writer = Writer::new(Vec::new(), scan.encoding()).expect("begins");
    for (key, (value, expires_at)) in pairs {
        let expires_at = expires_at.map(UnixMs);
        writer.pair(key, value, expires_at).expect("writes");
    }
    if let Some(position) = position {
        writer.position(position).expect("writes");
    }
    let (file, bytes) = writer.finish().expect("ends");
    assert_eq!(bytes, file.len() as u64);
    file
}

fn items(file: &[u8]) -> Result<Vec<Item>, DbTxtError> {
    // A small buffer, so that tokens cross its end.
    let mut reader = Reader::new(BufReader::with_capacity(7, file));
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(item);
    }
    Ok(items)
}

fn read(file: &[u8]) -> (Pairs, Option<Position>) {
    let mut pairs = Pairs::new();
    let mut position = None;
    for item in items(file).expect("reads") {
        match item {
            Item::Pair { key, value } => {
                pairs.insert(key.to_vec(), (value.to_vec(), None));
            }
            Item::Expires { key, at } => {
                pairs.get_mut(&key[..]).expect("after its pair").1 = Some(at.0);
            }
            Item::Position(at) => position = Some(at),
            Item::OddToken { line } => panic!("odd token in line {line}"),
        }
    }
    (pairs, position)
}

fn pair(key: &str, value: &str) -> Item {
    Item::Pair {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

fn token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z%,=]{1,6}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..5),
        Just(b"%expires=1,x".to_vec()),
        Just(b"%encoding=percent".to_vec()),
        Just(b"%position=1,2".to_vec()),
    ]
}

proptest! {
    #[test]
    fn any_bytes_come_back(
        pairs in proptest::collection::btree_map(
            token(),
            (token(), proptest::option::of(any::<u64>())),
            0..6,
        ),
        position in proptest::option::of((any::<u64>(), any::<u64>())),
    ) {
        let position = position.map(|(epoch, seq)| Position {
            epoch: Epoch(epoch),
            seq: Seq(seq),
        });
        let file = write(&pairs, position);
        assert_eq!(read(&file), (pairs.clone(), position));
        let plain = !file.starts_with(b"%encoding=percent\n");
        let by_old = old_program_reads(&file);
        if plain {
            let values = pairs.into_iter().map(|(key, (value, _))| (key, value));
            assert_eq!(by_old, values.collect::<BTreeMap<_, _>>());
        } else {
            assert_eq!(by_old.len(), pairs.len(), "one pair each, encoded");
        }
    }

    #[test]
    fn we_read_what_the_old_program_reads(
        file in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b' '), Just(b'\t'), Just(b'a'), Just(b'b'), Just(b'%')],
            0..60,
        ),
    ) {
        let mut ours = BTreeMap::new();
        for item in items(&file).expect("reads") {
            if let Item::Pair { key, value } = item {
                ours.insert(key.to_vec(), value.to_vec());
            }
        }
        assert_eq!(ours, old_program_reads(&file));
    }

    #[test]
    fn no_input_panics(file in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = items(&file);
        let _ = items(&[b"%encoding=percent\n", &file[..]].concat());
    }
}

#[test]
fn the_reports_file_is_its_own_export() {
    let file = b"a n\nb n\nc n\nd n\n";
    let (pairs, position) = read(file);
    assert_eq!(pairs.len(), 4);
    assert_eq!(write(&pairs, position), file);
}

#[test]
fn several_pairs_a_line_and_an_odd_token() {
    let items = items(b"a 1 b 2\r\n\n  c\t3 d\ne 5\na 9").expect("reads");
    let odd = Item::OddToken { line: 3 };
    let expected = [
        pair("a", "1"),
        pair("b", "2"),
        pair("c", "3"),
        odd,
        pair("e", "5"),
        pair("a", "9"),
    ];
    assert_eq!(items, expected);
}

#[test]
fn what_is_written_is_stable() {
    let mut pairs = Pairs::new();
    pairs.insert(b"k".to_vec(), (b"v%".to_vec(), Some(17)));
    let position = Position {
        epoch: Epoch(3),
        seq: Seq(9),
    };
    let plain = write(&pairs, Some(position));
    assert_eq!(plain, b"k v%\n%expires=17,k\n%position=3,9\n");
    pairs.insert(b"two words".to_vec(), (Vec::new(), Some(5)));
    let encoded = write(&pairs, None);
    let expected =
        "%encoding=percent\nk v%25\n%expires=17,k\ntwo%20words %\n%expires=5,two%20words\n";
    assert_eq!(encoded, expected.as_bytes());
}

#[test]
fn a_special_token_counts_only_alone_on_its_line() {
    let items = items(b"%expires=1,a b\na %position=1,2\n%position=1,2 x y\n").expect("reads");
    let odd = Item::OddToken { line: 3 };
    let expected = [
        pair("%expires=1,a", "b"),
        pair("a", "%position=1,2"),
        pair("%position=1,2", "x"),
        odd,
    ];
    assert_eq!(items, expected);
}

#[test]
fn a_key_that_looks_special_makes_the_file_an_encoded_one() {
    let mut scan = EncodingScan::new();
    scan.note(b"a%expires=", b"%expires=1,a");
    assert_eq!(scan.encoding(), Encoding::Plain);
    scan.note(b"%expires=1,a", b"v");
    assert_eq!(scan.encoding(), Encoding::Percent);
}

#[test]
fn errors_name_the_line() {
    let long_key = [b"a b\n", &vec![b'k'; KEY_MAX_BYTES + 1][..], b" v\n"].concat();
    let error = items(&long_key).expect_err("too long");
    assert!(
        matches!(error, DbTxtError::KeyTooLong { line: 2 }),
        "{error}"
    );
    let error = items(b"%encoding=percent\na b\na %zz\n").expect_err("bad");
    assert!(
        matches!(error, DbTxtError::BadPercent { line: 3 }),
        "{error}"
    );
    let error = items(b"%encoding=percent\na%2 b\n").expect_err("bad");
    assert!(
        matches!(error, DbTxtError::BadPercent { line: 2 }),
        "{error}"
    );
}

#[test]
fn an_endless_token_is_refused_before_it_fills_the_memory() {
    let endless = std::io::Read::chain(&b"k "[..], std::io::repeat(b'x'));
    let mut reader = Reader::new(BufReader::new(endless));
    let error = reader.next_item().expect_err("too long");
    assert!(
        matches!(error, DbTxtError::ValueTooLong { line: 1 }),
        "{error}"
    );
    let longest = [b"k ", &vec![b'v'; VALUE_MAX_BYTES][..]].concat();
    assert_eq!(items(&longest).expect("reads").len(), 1);
}
