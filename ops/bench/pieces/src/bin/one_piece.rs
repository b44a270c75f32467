//! Does one piece of an operation again and again, so that its instructions can be counted from outside: they are the
//! same each time, where times are not.

use std::hint::black_box;
use std::process::ExitCode;

use bytes::{Bytes, BytesMut};
use kv_common::command::Command;
use kv_common::id::Seq;
use kv_common::message::client::ClientToNode;
use kv_net::{encode_frame, take_frame};
use kv_resp::{Protocol, RequestReader, Value};
use kvnode_redis::LIMITS;
use pieces_bench::{PrimaryAlone, Scattered, VALUE, batch, get, put, put_request, redis_set};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: one-piece PIECE OPERATIONS

Does a piece of so many operations. Pieces whose name ends in a number do so many operations at once:
  redis-request-1 redis-request-16   a SET of a Redis client is read
  redis-reply-1                      a value is written as a reply to it
  frame-request-1                    a put is written and read as a frame
  core-put-1 core-put-16             a primary without backups executes, commits, applies and answers puts
  core-get-1 core-get-16             the same for gets
  batch-128                          entries are encoded as a batch of the log";

const FRAME_MAX_BYTES: usize = 1 << 20;
/// Keys that the core has.
const KEYS: u64 = 1 << 12;

/// Something that is done for some operations at once; false: it did not work.
type Piece = Box<dyn FnMut() -> bool>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((mut piece, times)) = asked(&words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    for _ in 0..times {
        if !piece() {
            eprintln!("one-piece: it does not work");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The piece that is asked for, and how often it is to be done.
fn asked(words: &[String]) -> Option<(Piece, u64)> {
    let [name, operations] = words else {
        return None;
    };
    let at_once = name.rsplit('-').next()?.parse().ok()?;
    let operations: u64 = operations.parse().ok()?;
    Some((piece(name, at_once)?, operations / at_once))
}

fn piece(name: &str, at_once: u64) -> Option<Piece> {
    Some(match name {
        "redis-request-1" | "redis-request-16" => redis_request(at_once),
        "redis-reply-1" => redis_reply(),
        "frame-request-1" => frame(),
        "core-put-1" | "core-put-16" => core(at_once, put),
        "core-get-1" | "core-get-16" => core(at_once, get),
        "batch-128" => encoded_batch(at_once),
        _ => return None,
    })
}

fn redis_request(at_once: u64) -> Piece {
    let bytes: Vec<u8> = (0..at_once).flat_map(redis_set).collect();
    let mut input = BytesMut::with_capacity(bytes.len());
    Box::new(move || {
        input.extend_from_slice(black_box(&bytes));
        let mut reader = RequestReader::new(LIMITS);
        (0..at_once).all(|_| matches!(reader.take(&mut input), Ok(Some(_))))
    })
}

fn redis_reply() -> Piece {
    let value = Value::Bulk(Bytes::from_static(&VALUE));
    let mut out = BytesMut::with_capacity(4096);
    Box::new(move || {
        out.clear();
        black_box(&value).write(Protocol::Resp2, &mut out);
        !out.is_empty()
    })
}

fn frame() -> Piece {
    let request = put_request();
    let mut bytes = BytesMut::with_capacity(4096);
    Box::new(move || {
        encode_frame(black_box(&request), FRAME_MAX_BYTES, &mut bytes).is_ok()
            && matches!(
                take_frame::<ClientToNode>(&mut bytes, FRAME_MAX_BYTES),
                Ok(Some(_))
            )
    })
}

fn core(at_once: u64, command: fn(u64) -> Command) -> Piece {
    let mut primary = PrimaryAlone::new();
    let mut answered = primary.turn((0..KEYS).map(put));
    let mut numbers = Scattered::default();
    Box::new(move || {
        let taken = numbers.by_ref().take(at_once as usize);
        let before = answered;
        answered = primary.turn(taken.map(|number| command(number % KEYS)));
        answered == before + at_once
    })
}

fn encoded_batch(entries: u64) -> Piece {
    Box::new(move || black_box(batch(black_box(entries))).last() == Seq(entries))
}
