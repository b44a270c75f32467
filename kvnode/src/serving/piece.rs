//! Batches that are larger than a frame, cut into pieces and put together again.

use bytes::{Bytes, BytesMut};
use kv_common::id::Epoch;
use kv_common::limits::{BATCH_MAX_BYTES, PIECE_BYTES};
use kv_common::message::replication::{PrimaryStamp, PrimaryToFollower};

/// A batch that goes out in pieces.
#[derive(Debug)]
pub(super) struct PieceCutter {
    stamp: PrimaryStamp,
    batch: Bytes,
    offset: usize,
}

impl PieceCutter {
    pub(super) fn new(stamp: PrimaryStamp, batch: Bytes) -> Self {
        Self {
            stamp,
            batch,
            offset: 0,
        }
    }

    /// Bytes that did not go out yet.
    pub(super) fn left_bytes(&self) -> usize {
        self.batch.len() - self.offset
    }
}

impl Iterator for PieceCutter {
    type Item = PrimaryToFollower;

    fn next(&mut self) -> Option<PrimaryToFollower> {
        if self.left_bytes() == 0 {
            return None;
        }
        let offset = self.offset;
        let end = self.batch.len().min(offset + PIECE_BYTES);
        self.offset = end;
        let is_last = end == self.batch.len();
        Some(PrimaryToFollower::AppendPiece {
            epoch: self.stamp.epoch,
            // A batch is far shorter than 2^32 bytes.
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            total: u32::try_from(self.batch.len()).unwrap_or(u32::MAX),
            bytes: self.batch.slice(offset..end),
            stamp: is_last.then_some(self.stamp),
        })
    }
}

/// Puts pieces together. Takes no more memory than what came, and at most one batch.
#[derive(Debug, Default)]
pub(super) struct PieceAssembly {
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    epoch: Epoch,
    total: usize,
    bytes: BytesMut,
}

/// Pieces that do not make a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PieceError {
    /// The whole would be too large.
    #[error("a batch of {total} bytes in pieces; at most {BATCH_MAX_BYTES} are allowed")]
    TooLarge {
        /// What was announced.
        total: usize,
    },
    /// A piece does not follow the one before it.
    #[error("a piece at {offset} of {total} bytes does not follow what came before")]
    OutOfPlace {
        /// Where it begins.
        offset: usize,
        /// The whole's length.
        total: usize,
    },
    /// The last piece has no stamp, or another one has.
    #[error("the stamp of a batch in pieces is not with its last piece")]
    Stamp,
}

impl PieceAssembly {
    /// Puts pieces together; any other message passes. Nothing: more is to come.
    ///
    /// # Errors
    /// When the pieces do not make a batch. The connection is of no use then.
    pub(super) fn take(
        &mut self,
        message: PrimaryToFollower,
    ) -> Result<Option<PrimaryToFollower>, PieceError> {
        let PrimaryToFollower::AppendPiece {
            epoch,
            offset,
            total,
            bytes,
            stamp,
        } = message
        else {
            return Ok(Some(message));
        };
        let (offset, total) = (offset as usize, total as usize);
        if total > BATCH_MAX_BYTES {
            return Err(PieceError::TooLarge { total });
        }
        if offset == 0 {
            self.under_way = Some(UnderWay {
                epoch,
                total,
                bytes: BytesMut::new(),
            });
        }
        let out_of_place = PieceError::OutOfPlace { offset, total };
        let Some(mut whole) = self.under_way.take() else {
            return Err(out_of_place);
        };
        let follows = (whole.epoch, whole.total, whole.bytes.len()) == (epoch, total, offset);
        if !follows || bytes.is_empty() || offset + bytes.len() > total {
            return Err(out_of_place);
        }
        whole.bytes.extend_from_slice(&bytes);
        match (whole.bytes.len() == total, stamp) {
            (true, Some(stamp)) if stamp.epoch == epoch => Ok(Some(PrimaryToFollower::Append {
                stamp,
                batch: whole.bytes.freeze(),
            })),
            (false, None) => {
                self.under_way = Some(whole);
                Ok(None)
            }
            _ => Err(PieceError::Stamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PieceAssembly, PieceCutter, PieceError};
    use bytes::Bytes;
    use kv_common::id::{Epoch, Seq, ShardId};
    use kv_common::limits::{BATCH_MAX_BYTES, PIECE_BYTES};
    use kv_common::message::replication::{PrimaryStamp, PrimaryToFollower};
    use kv_common::time::Monotonic;

    fn stamp() -> PrimaryStamp {
        PrimaryStamp {
            shard: ShardId(0),
            epoch: Epoch(3),
            sent_at: Monotonic(7),
            committed: Seq(1),
            assured: Seq(1),
        }
    }

    fn batch(length: usize) -> Bytes {
        (0..length).map(|index| (index % 251) as u8).collect()
    }

    fn piece(offset: u32, total: u32, length: usize, last: bool) -> PrimaryToFollower {
        PrimaryToFollower::AppendPiece {
            epoch: Epoch(3),
            offset,
            total,
            bytes: batch(length),
            stamp: last.then(stamp),
        }
    }

    #[test]
    fn what_was_cut_is_put_together_with_beats_between() {
        for length in [1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let whole = PrimaryToFollower::Append {
                stamp: stamp(),
                batch: batch(length),
            };
            let mut assembly = PieceAssembly::default();
            let mut came = Vec::new();
            for piece in PieceCutter::new(stamp(), batch(length)) {
                let beat = PrimaryToFollower::Beat { stamp: stamp() };
                assert_eq!(assembly.take(beat.clone()), Ok(Some(beat)));
                came.extend(assembly.take(piece).expect("fits"));
            }
            assert_eq!(came, [whole], "{length} bytes");
        }
    }

    #[test]
    fn pieces_that_do_not_fit_are_refused() {
        let bad = [
            vec![piece(5, 10, 5, true)],
            vec![piece(0, 10, 5, false), piece(6, 10, 4, true)],
            vec![piece(0, 10, 5, false), piece(5, 11, 5, true)],
            vec![piece(0, 10, 11, true)],
            vec![piece(0, 10, 0, false)],
            vec![piece(0, 10, 10, false)],
            vec![piece(0, 10, 5, true)],
        ];
        for pieces in bad {
            let mut assembly = PieceAssembly::default();
            let refused = pieces
                .iter()
                .cloned()
                .map(|piece| assembly.take(piece))
                .any(|taken| taken.is_err());
            assert!(refused, "{pieces:?}");
        }
    }

    #[test]
    fn a_batch_beyond_the_bound_is_refused_at_its_first_piece() {
        let total = BATCH_MAX_BYTES + 1;
        let announced = piece(0, u32::try_from(total).expect("fits"), 1, false);
        let refused = PieceAssembly::default().take(announced);
        assert_eq!(refused, Err(PieceError::TooLarge { total }));
    }

    #[test]
    fn a_new_first_piece_begins_anew() {
        let mut assembly = PieceAssembly::default();
        assert_eq!(assembly.take(piece(0, 10, 5, false)), Ok(None));
        assert_eq!(assembly.take(piece(0, 4, 2, false)), Ok(None));
        let mut rest = piece(2, 4, 2, true);
        if let PrimaryToFollower::AppendPiece { bytes, .. } = &mut rest {
            *bytes = Bytes::from_static(&[9, 9]);
        }
        let Ok(Some(PrimaryToFollower::Append { batch, .. })) = assembly.take(rest) else {
            panic!("not whole");
        };
        assert_eq!(&batch[..], [0, 1, 9, 9]);
    }
}
