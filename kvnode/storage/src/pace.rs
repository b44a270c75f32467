//! How a checkpoint shares the processors with what clients wait for.

use std::thread;
use std::time::{Duration, Instant};

/// Work in the background takes the processor for one part of the time in so many. Its niceness does not see to
/// that: where each service or session has its own share of the processors, it only counts within one of them.
const SHARE: u32 = 4;
const REST_MAX: Duration = Duration::from_millis(50);

/// Whether work that is done in pieces rests between them.
#[derive(Clone, Copy)]
pub(crate) enum Pace<'check> {
    /// Somebody waits for the end of it.
    AtOnce,
    /// It rests as long as this says that there is time.
    Resting(&'check dyn Fn() -> bool),
}

impl Pace<'_> {
    /// Does a piece, and rests.
    pub(crate) fn piece<T>(self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        if let Self::Resting(is_time) = self
            && is_time()
        {
            thread::sleep((begun.elapsed() * (SHARE - 1)).min(REST_MAX));
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::cell::Cell;

    #[test]
    fn a_rest_is_asked_for_behind_each_piece() {
        let (pieces, asked) = (Cell::new(0), Cell::new(0));
        let is_time = || {
            assert_eq!(pieces.get(), asked.get() + 1, "the piece is done by then");
            asked.set(pieces.get());
            false
        };
        for pace in [
            Pace::AtOnce,
            Pace::Resting(&is_time),
            Pace::Resting(&is_time),
        ] {
            let number = pace.piece(|| {
                pieces.set(asked.get() + 1);
                7
            });
            assert_eq!(number, 7);
        }
        assert_eq!(asked.get(), 2);
    }
}
