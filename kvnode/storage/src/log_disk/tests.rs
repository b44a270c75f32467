//! The log on a disk that fails: what was acknowledged is there, and what is said to be held is durable.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use kv_common::batch::{Batch, BatchBuilder};
use kv_common::entry::{Change, EntryBody};
use kv_common::history::BaseId;
use kv_common::id::{Epoch, Position, Seq};
use kv_common::message::control::FsyncMode;
use tempfile::TempDir;

use super::faulty::{Fault, FaultyDisk, Part};
use crate::log::Log;
use crate::log_error::LogError;
use crate::log_thread::{LogEvent, LogThread};
use crate::options::StorageOptions;

mod room;

/// So many entries that a group of them has several pages, and few enough for several segments.
const SEGMENT_BYTES: u64 = 32 << 10;
const VALUE_BYTES: usize = 1500;
/// The first entry that the work cuts off.
const CUT_FROM: u64 = 15;
/// More writes and flushes than any run here makes.
const CALLS_MAX: u64 = 1000;
const DEADLINE: Duration = Duration::from_secs(30);

/// In memory, if that can be had: folders are really flushed.
fn folder() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.unwrap_or_else(|_| tempfile::tempdir().expect("a folder"))
}

fn batch(epoch: u64, seq: u64) -> Batch {
    let mut builder = BatchBuilder::new(Epoch(epoch), Seq(seq));
    let value = format!("{epoch}.{seq} ").repeat(VALUE_BYTES / 4);
    builder.push(&EntryBody::Changes {
        request: None,
        changes: vec![Change::Put {
            key: Bytes::from_static(b"key"),
            value: Bytes::from(value).slice(..VALUE_BYTES),
            expires_at: None,
        }],
    });
    builder.close(Seq(seq - 1))
}

/// A log on a faulty disk, and what it acknowledged.
struct Run {
    dir: TempDir,
    faulty: Arc<FaultyDisk>,
    log: Option<Log>,
    acknowledged: BTreeMap<u64, Batch>,
    cut: Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    NotYet,
    UnderWay,
    Done,
}

impl Run {
    fn begin() -> Self {
        let (dir, faulty) = (folder(), Arc::new(FaultyDisk::default()));
        let base = BaseId::default();
        let log = Log::create_on(
            faulty.disk(),
            dir.path(),
            base,
            Position::ZERO,
            SEGMENT_BYTES,
        );
        Self {
            dir,
            faulty,
            log: Some(log.expect("creates")),
            acknowledged: BTreeMap::new(),
            cut: Cut::NotYet,
        }
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("is open")
    }

    /// Appends, rolls segments over, cuts, and goes on; until something fails.
    fn work(&mut self) -> Result<(), LogError> {
        for seq in 1..=16 {
            self.append(1, &[seq])?;
        }
        self.append(1, &[17, 18, 19, 20, 21, 22, 23, 24])?;
        // What is cut off need not be there any more, whether the cut comes to its end or not.
        self.acknowledged.split_off(&CUT_FROM);
        self.cut = Cut::UnderWay;
        self.log().cut_after(Seq(CUT_FROM - 1))?;
        self.cut = Cut::Done;
        for seq in CUT_FROM..=40 {
            self.append(2, &[seq])?;
        }
        Ok(())
    }

    /// Appends so much that other segments are needed.
    fn go_on(&mut self) {
        let next = self.log().last().seq.0 + 1;
        for seq in next..next + 20 {
            self.append(2, &[seq]).expect("goes on");
        }
    }

    /// Gives the log to its thread.
    fn spawn(&mut self, options: &StorageOptions) -> (LogThread, Receiver<LogEvent>) {
        let (sender, events) = channel();
        let log = self.log.take().expect("is open");
        let thread = LogThread::spawn(log, options, move |event| {
            let _ = sender.send(event);
        });
        (thread.expect("starts"), events)
    }

    fn append(&mut self, epoch: u64, seqs: &[u64]) -> Result<(), LogError> {
        let batches: Vec<Batch> = seqs.iter().map(|seq| batch(epoch, *seq)).collect();
        self.log().append(&batches)?;
        let acknowledged = seqs.iter().copied().zip(batches);
        self.acknowledged.extend(acknowledged);
        Ok(())
    }

    /// Checks that a log that failed says so from then on, and closes it.
    fn expect_failed(&mut self) {
        let log = self.log();
        let flushed = log.flushed();
        let next = batch(9, log.last().seq.0 + 1);
        assert!(log.append(&[next]).is_err());
        assert!(log.sync().is_err(), "no later flush makes up for it");
        assert!(log.cut_after(Seq::ZERO).is_err());
        assert_eq!(log.flushed(), flushed);
        self.log = None;
        let image = folder();
        let dir = self.dir.path();
        self.faulty.power_cut(dir, image.path(), Part::Nothing);
        let durable = open_image(image.path()).len() as u64;
        assert!(
            self.cut == Cut::UnderWay || durable >= flushed.0,
            "{durable} are durable"
        );
    }

    /// Opens it again on the same machine, where what was not flushed can still be read.
    fn reopen(&mut self) -> Result<(), LogError> {
        self.log = None;
        let (disk, dir) = (self.faulty.disk(), self.dir.path());
        let (log, opening) = Log::open_on(disk, dir, SEGMENT_BYTES, Seq::ZERO)?;
        assert_eq!(opening.damage, None);
        assert_eq!(log.flushed(), log.last().seq, "all that was found is held");
        self.log = Some(log);
        Ok(())
    }

    /// Takes all that the open log holds for acknowledged: whoever asks is told so.
    fn acknowledge_what_is_held(&mut self) {
        let held = read_all(self.log());
        expect_holds(&held, &self.acknowledged);
        self.acknowledged = held;
    }

    /// Checks that everything acknowledged is there after a power cut.
    fn expect_after_power_cut(&self, part: Part) {
        let image = folder();
        self.faulty.power_cut(self.dir.path(), image.path(), part);
        let found = open_image(image.path());
        expect_holds(&found, &self.acknowledged);
        if self.cut == Cut::Done {
            let cut_off = |(_, batch): (_, &Batch)| batch.epoch() == Epoch(1);
            assert!(!found.range(CUT_FROM..).any(cut_off), "the cut is undone");
        }
    }
}

fn open_image(dir: &Path) -> BTreeMap<u64, Batch> {
    let (log, opening) = Log::open(dir, SEGMENT_BYTES, Seq::ZERO).expect("opens");
    assert_eq!(opening.damage, None);
    read_all(&log)
}

fn read_all(log: &Log) -> BTreeMap<u64, Batch> {
    let mut batches = BTreeMap::new();
    let mut next = log.first_seq();
    while next <= log.last().seq {
        for batch in log.reader().read_from(next, 1 << 20).expect("reads") {
            next = batch.last().next();
            batches.insert(batch.first().0, batch);
        }
    }
    batches
}

/// Checks that `found` begins with `acknowledged`, and has nothing that was never written.
fn expect_holds(found: &BTreeMap<u64, Batch>, acknowledged: &BTreeMap<u64, Batch>) {
    for (seq, batch) in acknowledged {
        let found = found.get(seq).map(Batch::bytes);
        assert!(found == Some(batch.bytes()), "entry {seq} is not there");
    }
    for (seq, found) in found {
        let epoch = found.epoch().0;
        assert!(
            found.bytes() == batch(epoch, *seq).bytes(),
            "entry {seq} is another"
        );
    }
}

/// Has one write or flush after the other meet `fault`, until there is none left to meet it; `look` gets each
/// run, and how far it came. Says how many there were.
fn at_each_call(fault: Fault, look: impl Fn(Run, Result<(), LogError>)) -> u64 {
    for call in 0..CALLS_MAX {
        let mut run = Run::begin();
        run.faulty.fail_at(call, fault);
        let outcome = run.work();
        if run.faulty.is_pending() {
            outcome.expect("nothing went wrong");
            return call;
        }
        look(run, outcome);
    }
    panic!("the work has no end");
}

#[test]
fn whichever_write_or_flush_fails_everything_acknowledged_outlives_it() {
    for part in Part::ALL {
        let calls = at_each_call(Fault::Fail(part), |mut run, outcome| {
            assert!(outcome.is_err());
            run.expect_failed();
            for part in Part::ALL {
                run.expect_after_power_cut(part);
            }
        });
        assert!(calls > 60, "{calls} calls");
    }
}

#[test]
fn what_a_start_holds_after_a_failed_flush_is_on_the_disk() {
    for part in Part::ALL {
        at_each_call(Fault::Fail(part), |mut run, _| {
            run.expect_failed();
            run.reopen().expect("opens");
            run.acknowledge_what_is_held();
            run.expect_after_power_cut(Part::Nothing);
            let next = run.log().last().seq.0 + 1;
            run.append(2, &[next, next + 1]).expect("goes on");
            run.expect_after_power_cut(Part::Nothing);
        });
    }
}

#[test]
fn a_start_that_fails_is_made_up_for_by_the_next() {
    at_each_call(Fault::Fail(Part::Nothing), |mut run, _| {
        run.expect_failed();
        // A few writes and flushes make a start; each fails once, and the next start finds what that left.
        for call in 0..CALLS_MAX {
            run.faulty.fail_at(call, Fault::Fail(Part::Half));
            let opened = run.reopen();
            if run.faulty.is_pending() {
                opened.expect("nothing went wrong");
                break;
            }
            assert!(opened.is_err());
            run.expect_after_power_cut(Part::Nothing);
        }
        run.faulty.mend();
        run.acknowledge_what_is_held();
        run.expect_after_power_cut(Part::Nothing);
    });
}

#[test]
fn when_there_is_space_again_a_log_on_a_full_disk_goes_on() {
    at_each_call(Fault::Full, |mut run, outcome| {
        if let Err(error) = outcome {
            assert!(error.to_string().contains("No space left"), "{error}");
            run.expect_failed();
        }
        run.expect_after_power_cut(Part::Half);
        run.faulty.mend();
        run.reopen().expect("opens");
        run.acknowledge_what_is_held();
        run.go_on();
        run.expect_after_power_cut(Part::Nothing);
    });
}

#[test]
fn nothing_that_a_power_cut_left_behind_the_end_comes_back() {
    at_each_call(Fault::Fail(Part::Nothing), |run, _| {
        let image = folder();
        run.faulty
            .power_cut(run.dir.path(), image.path(), Part::Half);
        let open = || Log::open(image.path(), SEGMENT_BYTES, Seq::ZERO).expect("opens");
        // In the place, the epoch and the length of what was lost; what lay behind it must not follow it.
        for _ in 0..4 {
            let (mut log, _) = open();
            let next = log.last().seq.next();
            let epoch = log.last().epoch.0.max(1);
            log.append(&[batch(epoch, next.0)]).expect("goes on");
            drop(log);
            let (log, opening) = open();
            assert_eq!((log.last().seq, opening.damage), (next, None));
        }
    });
}

#[test]
fn writes_that_are_taken_in_bits_are_whole_in_the_end() {
    let mut run = Run::begin();
    run.faulty.fail_at(0, Fault::Short);
    run.work().expect("nothing failed");
    assert_eq!(run.acknowledged.len(), 40);
    run.expect_after_power_cut(Part::Nothing);
}

#[test]
fn a_spare_segment_that_cannot_be_written_loses_nothing() {
    for fault in [Fault::Full, Fault::Fail(Part::Half)] {
        let mut run = Run::begin();
        run.faulty.fail_spare(fault);
        assert!(run.work().is_err(), "the spare was needed");
        run.expect_failed();
        run.faulty.mend();
        run.expect_after_power_cut(Part::Nothing);
        run.reopen().expect("opens");
        run.acknowledge_what_is_held();
        run.go_on();
        run.expect_after_power_cut(Part::Nothing);
    }
}

fn wait_flushed(events: &Receiver<LogEvent>, last: Seq) {
    let mut flushed = Seq::ZERO;
    while flushed < last {
        match events.recv_timeout(DEADLINE).expect("an event") {
            LogEvent::Flushed { through } => flushed = through,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_flush_that_fails_acknowledges_nothing() {
    let mut run = Run::begin();
    run.faulty.fail_at(1, Fault::Fail(Part::Everything));
    let (thread, events) = run.spawn(&StorageOptions::default());
    let handle = thread.handle();
    for seq in 1..=3 {
        handle.append(batch(1, seq)).expect("is taken");
    }
    thread.stop().expect("ends");
    let events: Vec<LogEvent> = events.try_iter().collect();
    assert!(matches!(events[..], [LogEvent::Failed(_)]), "{events:?}");
    assert_eq!(handle.pulse().durable_seq(), 0);
}

#[test]
fn a_flush_that_stalls_acknowledges_nothing() {
    let mut run = Run::begin();
    // The first write, and its flush.
    run.faulty.fail_at(1, Fault::Stall);
    let (thread, events) = run.spawn(&StorageOptions::default());
    let handle = thread.handle();
    handle.append(batch(1, 1)).expect("is taken");
    run.faulty.wait_until_stalled();
    handle.append(batch(1, 2)).expect("is taken");
    assert!(events.try_recv().is_err(), "nothing was flushed");
    assert_eq!(handle.pulse().durable_seq(), 0);
    assert!(handle.pulse().pending_for().is_some());
    let image = folder();
    let dir = run.dir.path();
    run.faulty.power_cut(dir, image.path(), Part::Nothing);
    assert_eq!(open_image(image.path()).len(), 0, "and rightly so");

    run.faulty.release();
    wait_flushed(&events, Seq(2));
    thread.stop().expect("ends");
    run.acknowledged = (1..=2).map(|seq| (seq, batch(1, seq))).collect();
    run.expect_after_power_cut(Part::Nothing);
}

fn everysec() -> StorageOptions {
    StorageOptions {
        fsync: FsyncMode::EverySec,
        ..StorageOptions::default()
    }
}

#[test]
fn with_everysec_nothing_waits_for_a_flush_that_stalls_and_it_is_told() {
    let mut run = Run::begin();
    // Behind the first write.
    run.faulty.fail_at(1, Fault::Stall);
    let (thread, events) = run.spawn(&everysec());
    let handle = thread.handle();
    handle.append(batch(1, 1)).expect("is taken");
    run.faulty.wait_until_stalled();
    for seq in 2..=3 {
        handle.append(batch(1, seq)).expect("is taken");
    }
    wait_flushed(&events, Seq(3));
    assert!(handle.pulse().pending_for().is_some());
    assert_eq!(handle.pulse().durable_seq(), 0);
    run.faulty.release();
    thread.stop().expect("ends");
    assert_eq!(handle.pulse().durable_seq(), 3);
    run.acknowledged = (1..=3).map(|seq| (seq, batch(1, seq))).collect();
    run.expect_after_power_cut(Part::Nothing);
}

#[test]
fn with_everysec_a_flush_that_fails_ends_the_log() {
    let mut run = Run::begin();
    run.faulty.fail_at(1, Fault::Fail(Part::Nothing));
    let (thread, events) = run.spawn(&everysec());
    let handle = thread.handle();
    handle.append(batch(1, 1)).expect("is taken");
    loop {
        match events.recv_timeout(DEADLINE).expect("an event") {
            LogEvent::Flushed { through } => assert_eq!(through, Seq(1)),
            LogEvent::Failed(_) => break,
            other => panic!("{other:?}"),
        }
    }
    handle.append(batch(1, 2)).expect("is taken");
    thread.stop().expect("ends");
    assert_eq!(events.iter().count(), 0, "nothing more is taken");
    assert_eq!(handle.pulse().durable_seq(), 0);
    assert!(handle.pulse().failed());
}
