//! A digest that stands for a value where sending the value itself would cost too much.

use xxhash_rust::xxh3::xxh3_64;

/// XXH3 with 64 bits and no seed, as the DIGEST command of Redis tells it. Nobody is kept from making
/// another value with the same digest.
#[must_use]
pub fn value_digest(value: &[u8]) -> u64 {
    xxh3_64(value)
}

#[cfg(test)]
mod tests {
    use super::value_digest;

    #[test]
    fn the_digest_is_the_one_that_redis_tells() {
        assert_eq!(value_digest(b"Hello world"), 0xb6ac_b9d8_4a38_ff74);
    }
}
