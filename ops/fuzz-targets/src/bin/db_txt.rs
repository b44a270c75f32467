//! A `db.txt` of any bytes: what is read from it comes back when it is written and read again, and a
//! file without our own words reads as the programs of old read it.

#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_common::db_txt::{EncodingScan, Item, Reader, Writer};
use kv_common::time::UnixMs;
use libfuzzer_sys::fuzz_target;

type Pairs = BTreeMap<Bytes, (Bytes, Option<UnixMs>)>;

fuzz_target!(|input: &[u8]| {
    let Some(pairs) = read(input) else {
        return;
    };
    if !input.contains(&b'%') {
        let as_of_old = read_as_of_old(input);
        let plain = pairs
            .iter()
            .map(|(key, (value, _))| (key.to_vec(), value.to_vec()));
        assert!(plain.eq(as_of_old));
    }
    let mut scan = EncodingScan::new();
    for (key, (value, _)) in &pairs {
        scan.note(key, value);
    }
    let mut writer = Writer::new(Vec::new(), scan.encoding()).expect("writes to memory");
    for (key, (value, expires_at)) in &pairs {
        writer
            .pair(key, value, *expires_at)
            .expect("writes to memory");
    }
    let (written, _) = writer.finish().expect("writes to memory");
    assert!(read(&written).as_ref() == Some(&pairs), "comes back");
});

/// What a file comes to, if it can be read at all.
fn read(input: &[u8]) -> Option<Pairs> {
    let mut reader = Reader::new(input);
    let mut pairs = Pairs::new();
    loop {
        match reader.next_item() {
            Ok(Some(Item::Pair { key, value })) => {
                pairs.insert(key, (value, None));
            }
            Ok(Some(Item::Expires { key, at })) => {
                if let Some((_, expires_at)) = pairs.get_mut(&key) {
                    *expires_at = Some(at);
                }
            }
            Ok(Some(Item::Position(_) | Item::OddToken { .. })) => {}
            Ok(None) => return Some(pairs),
            Err(_) => return None,
        }
    }
}

/// `while (getline(file, line)) while (line >> a >> b) db[a] = b`.
fn read_as_of_old(input: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c);
    let mut db = BTreeMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let words: Vec<&[u8]> = line
            .split(is_space)
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.chunks_exact(2) {
            db.insert(pair[0].to_vec(), pair[1].to_vec());
        }
    }
    db
}
