//! Frames on buffers, without a socket.

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::{Decoder, LengthDelimitedCodec};

use crate::connection::LinkError;

/// The length in front of each frame.
const LENGTH_BYTES: usize = 4;

/// Appends `message` as one frame.
///
/// # Errors
/// When the message is larger than `frame_max_bytes`, or cannot be encoded. `out` is then as it was.
pub fn encode_frame<M: Serialize>(
    message: &M,
    frame_max_bytes: usize,
    out: &mut BytesMut,
) -> Result<(), LinkError> {
    let start = out.len();
    out.put_u32(0);
    let mut writer = out.writer();
    let encoded = rmp_serde::encode::write(&mut writer, message);
    let length = out.len() - start - LENGTH_BYTES;
    if let Err(cause) = encoded {
        out.truncate(start);
        return Err(LinkError::Unencodable {
            cause: cause.to_string(),
        });
    }
    let Some(prefix) = u32::try_from(length)
        .ok()
        .filter(|_| length <= frame_max_bytes)
    else {
        out.truncate(start);
        return Err(LinkError::FrameTooLarge {
            bytes: length as u64,
            max: frame_max_bytes as u64,
        });
    };
    out[start..start + LENGTH_BYTES].copy_from_slice(&prefix.to_be_bytes());
    Ok(())
}

/// Takes the first frame off `input`, or nothing while it is not whole.
///
/// # Errors
/// When the frame is larger than `frame_max_bytes` or is no message of this kind.
pub fn take_frame<M: DeserializeOwned>(
    input: &mut BytesMut,
    frame_max_bytes: usize,
) -> Result<Option<M>, LinkError> {
    let mut codec = codec(frame_max_bytes);
    // The codec would reserve a whole frame on its length's word alone.
    if whole_frame_bytes(input, frame_max_bytes)?.is_none_or(|whole| input.len() < whole) {
        return Ok(None);
    }
    match codec.decode(input) {
        Ok(None) => Ok(None),
        Ok(Some(frame)) => {
            rmp_serde::from_slice(&frame)
                .map(Some)
                .map_err(|cause| LinkError::Unreadable {
                    cause: cause.to_string(),
                })
        }
        Err(cause) => Err(LinkError::Io(cause)),
    }
}

/// The length of the frame at the start of `input`, prefix included, once its prefix is there.
fn whole_frame_bytes(input: &BytesMut, frame_max_bytes: usize) -> Result<Option<usize>, LinkError> {
    let Some(prefix) = input.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > frame_max_bytes {
        return Err(LinkError::FrameTooLarge {
            bytes: length as u64,
            max: frame_max_bytes as u64,
        });
    }
    Ok(Some(LENGTH_BYTES + length))
}

fn codec(frame_max_bytes: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .length_field_length(LENGTH_BYTES)
        .max_frame_length(frame_max_bytes)
        .new_codec()
}

#[cfg(test)]
mod tests {
    use super::{encode_frame, take_frame};
    use crate::connection::LinkError;
    use bytes::BytesMut;

    #[test]
    fn frames_come_back_in_order_however_they_are_cut() {
        let mut wire = BytesMut::new();
        for number in 0_u64..5 {
            encode_frame(&(number, "text"), 100, &mut wire).expect("encodes");
        }
        let mut input = BytesMut::new();
        let mut seen = Vec::new();
        for byte in wire {
            input.extend_from_slice(&[byte]);
            while let Some((number, text)) =
                take_frame::<(u64, String)>(&mut input, 100).expect("decodes")
            {
                assert_eq!(text, "text");
                seen.push(number);
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn an_oversize_frame_is_refused_at_its_length() {
        let mut input = BytesMut::from(&[0_u8, 0, 0, 101][..]);
        assert!(matches!(
            take_frame::<u64>(&mut input, 100),
            Err(LinkError::FrameTooLarge {
                bytes: 101,
                max: 100
            })
        ));
    }

    #[test]
    fn a_message_too_large_to_send_leaves_the_buffer_alone() {
        let mut out = BytesMut::from(&b"before"[..]);
        let sent = encode_frame(&"a long text", 5, &mut out);
        assert!(matches!(sent, Err(LinkError::FrameTooLarge { .. })));
        assert_eq!(&out[..], b"before");
    }

    #[test]
    fn garbage_in_a_frame_is_an_error() {
        let mut input = BytesMut::from(&[0_u8, 0, 0, 1, 0xc1][..]);
        assert!(matches!(
            take_frame::<u64>(&mut input, 100),
            Err(LinkError::Unreadable { .. })
        ));
    }
}
