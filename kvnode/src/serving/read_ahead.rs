//! Requests of a connection that came together: some are read before the first of them is looked at, so that the
//! waits for the memory behind their keys overlap.

use std::collections::VecDeque;

use bytes::BytesMut;
use kvnode_core::state::WARMED_MAX;

/// Nothing is read ahead from an input that is longer than this, and none behind so many bytes: what was read ahead
/// is not counted anywhere, and short words take several times their length.
const INPUT_MAX_BYTES: usize = 64 << 10;
const AHEAD_MAX_BYTES: usize = 16 << 10;

/// What was read ahead of a connection, in order.
#[derive(Debug)]
pub(super) struct ReadAhead<R, E> {
    ahead: VecDeque<R>,
    /// What came behind them is no request.
    error: Option<E>,
}

impl<R, E> ReadAhead<R, E> {
    pub(super) fn new() -> Self {
        Self {
            ahead: VecDeque::new(),
            error: None,
        }
    }

    /// Whether something was read that was not taken.
    pub(super) fn has_more(&self) -> bool {
        !self.ahead.is_empty() || self.error.is_some()
    }

    /// The next request; none: more bytes are needed. When it has to be read, so are some behind it, and `read_ahead`
    /// gets to see all of them.
    ///
    /// # Errors
    /// What `read` said, behind all that came before.
    pub(super) fn take(
        &mut self,
        input: &mut BytesMut,
        mut read: impl FnMut(&mut BytesMut) -> Result<Option<R>, E>,
        read_ahead: impl FnOnce(&R, &VecDeque<R>),
    ) -> Result<Option<R>, E> {
        if let Some(request) = self.ahead.pop_front() {
            return Ok(Some(request));
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let Some(first) = read(input)? else {
            return Ok(None);
        };
        let before = input.len();
        while self.ahead.len() + 1 < WARMED_MAX
            && input.len() <= INPUT_MAX_BYTES
            && before - input.len() < AHEAD_MAX_BYTES
        {
            match read(input) {
                Ok(Some(request)) => self.ahead.push_back(request),
                Ok(None) => break,
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        if !self.ahead.is_empty() {
            read_ahead(&first, &self.ahead);
        }
        Ok(Some(first))
    }
}

#[cfg(test)]
mod tests {
    use super::{INPUT_MAX_BYTES, ReadAhead, WARMED_MAX};
    use bytes::{Buf, BytesMut};

    /// A request is a byte that is no zero. An error is told once, as by the readers of requests.
    fn read(input: &mut BytesMut) -> Result<Option<u8>, &'static str> {
        match input.first().copied() {
            None => Ok(None),
            Some(request) => {
                input.advance(1);
                if request == 0 {
                    return Err("zero");
                }
                Ok(Some(request))
            }
        }
    }

    #[test]
    fn an_error_comes_behind_the_requests_before_it() {
        let mut requests = ReadAhead::new();
        let mut input = BytesMut::from(&[1, 2, 3, 0][..]);
        let mut seen = Vec::new();
        let mut take = |input: &mut BytesMut| {
            requests.take(input, read, |first, ahead| {
                seen.push(*first);
                seen.extend(ahead);
            })
        };
        assert_eq!(take(&mut input), Ok(Some(1)));
        assert_eq!(take(&mut input), Ok(Some(2)));
        assert_eq!(take(&mut input), Ok(Some(3)));
        assert_eq!(take(&mut input), Err("zero"));
        assert_eq!(seen, [1, 2, 3]);
    }

    #[test]
    fn few_are_read_ahead_and_none_of_a_long_input() {
        let mut requests = ReadAhead::new();
        let mut input = BytesMut::from(&[7; 40][..]);
        let mut seen = Vec::new();
        while let Ok(Some(_)) =
            requests.take(&mut input, read, |_, ahead| seen.push(ahead.len() + 1))
        {}
        assert_eq!(seen, [WARMED_MAX, WARMED_MAX, 40 - 2 * WARMED_MAX]);
        let mut input = BytesMut::from(&[7; INPUT_MAX_BYTES + 3][..]);
        let mut together = 0;
        for taken_before in 0..3 {
            let taken = requests.take(&mut input, read, |_, _| together += 1);
            assert_eq!(taken, Ok(Some(7)));
            let is_last = taken_before == 2;
            assert_eq!(requests.has_more(), is_last, "{taken_before}");
        }
        assert_eq!(together, 1, "only the last");
    }
}
