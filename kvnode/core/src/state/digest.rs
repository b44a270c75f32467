//! A digest of a whole table that does not depend on the order of its keys, so that two copies
//! can be compared without walking either.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::record::Record;

/// The sum, modulo 2^128, of a 128-bit hash of each record (key length, expiry, key and value).
/// Adding and taking away single records keeps it current.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest(u128);

impl Digest {
    pub(crate) fn add(&mut self, record: &Record) {
        self.0 = self.0.wrapping_add(hash(record));
    }

    pub(crate) fn remove(&mut self, record: &Record) {
        self.0 = self.0.wrapping_sub(hash(record));
    }

    pub(crate) fn value(self) -> u128 {
        self.0
    }
}

/// Hashes the record's form, so the result says nothing about how the record is kept.
fn hash(record: &Record) -> u128 {
    match record {
        Record::Packed(form) => xxh3_128(form),
        Record::Shared(_) => {
            let mut hasher = Xxh3::new();
            record.for_each_part(|part| hasher.update(part));
            hasher.digest128()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;
    use crate::state::record::Record;
    use kv_common::time::UnixMs;

    fn digest(records: &[(&[u8], &[u8], Option<u64>)]) -> Digest {
        let mut digest = Digest::default();
        for (key, value, expires_at) in records {
            digest.add(&Record::new(key, value, expires_at.map(UnixMs)));
        }
        digest
    }

    #[test]
    fn order_does_not_matter() {
        let (a, b, c) = (
            (&b"a"[..], &b"1"[..], None),
            (&b"b"[..], &[9; 20_000][..], Some(7)),
            (&b""[..], &b""[..], None),
        );
        assert_eq!(digest(&[a, b, c]), digest(&[c, a, b]));
    }

    #[test]
    fn every_part_matters() {
        let base = digest(&[(b"ab", b"c", None)]);
        assert_ne!(base, digest(&[(b"a", b"bc", None)]));
        assert_ne!(base, digest(&[(b"ab", b"d", None)]));
        assert_ne!(base, digest(&[(b"ab", b"c", Some(0))]));
        assert_ne!(
            digest(&[(b"ab", b"c", Some(0))]),
            digest(&[(b"ab", b"c", Some(1))])
        );
        assert_ne!(digest(&[]), digest(&[(b"", b"", None)]));
    }

    #[test]
    fn removing_undoes_adding() {
        for value in [vec![1; 10], vec![1; 20_000]] {
            let mut sum = digest(&[(b"a", b"1", None)]);
            let record = Record::new(b"b", &value, Some(UnixMs(3)));
            sum.add(&record);
            sum.remove(&record);
            assert_eq!(sum, digest(&[(b"a", b"1", None)]));
        }
    }
}
