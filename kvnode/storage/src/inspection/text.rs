//! What an inspection found, for people.

use std::fmt::{self, Display, Formatter};

use kv_common::history::BaseId;
use kv_common::message::control::FsyncMode;

use super::database::{CheckpointContent, Database, MetaContent};
use super::db_txt::DbTxtContent;
use super::segments::{FoundLog, LogContent};
use super::{GenerationContent, Inspection};
use crate::set_aside::{IN_DOUBT, IN_DOUBT_MAX, SET_ASIDE};

impl Display for Inspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.path.display())?;
        if self.in_use {
            writeln!(f, "a node is running on it: the end of the log is moving")?;
        }
        database(f, "meta records", &self.meta, meta)?;
        match &self.current {
            None => writeln!(f, "data: none yet")?,
            Some((name, content)) => {
                writeln!(f, "data: {name}")?;
                content.fmt(f)?;
            }
        }
        for (name, bytes) in &self.others {
            writeln!(f, "beside it: {name}, {bytes} bytes{}", why_kept(name))?;
        }
        match &self.db_txt {
            None => writeln!(f, "db.txt: none")?,
            Some(content) => db_txt(f, content)?,
        }
        let verdict = if self.is_sound() {
            "no damage was found"
        } else {
            "DAMAGED: the node goes on without what is damaged, asks for a copy, or refuses to start"
        };
        writeln!(f, "{verdict}")
    }
}

/// Why a folder with data that does not count is there, if it was set aside.
fn why_kept(name: &str) -> String {
    if name.starts_with(IN_DOUBT) {
        format!("; a part of it cannot be read; the newest {IN_DOUBT_MAX} of such are kept")
    } else if name.starts_with(SET_ASIDE) {
        "; kept until it is removed by hand".to_owned()
    } else {
        String::new()
    }
}

/// A database in its state, and what is in it if it could be read.
fn database<T>(
    f: &mut Formatter<'_>,
    name: &str,
    database: &Database<T>,
    content: impl FnOnce(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{name}: ")?;
    match database {
        Database::Read { bytes, content: of } => {
            writeln!(f, "{bytes} bytes")?;
            content(f, of)
        }
        Database::Missing => writeln!(f, "none yet"),
        Database::InUse => writeln!(
            f,
            "not read: the running node is writing them; stop it first"
        ),
        Database::NoRoom { bytes, scratch_dir } => writeln!(
            f,
            "{bytes} bytes, not read: {scratch_dir} has no room for a copy; name another --scratch-dir"
        ),
        Database::NotCopied { cause } => writeln!(f, "not read: {cause}"),
        Database::Damaged { cause } => writeln!(f, "DAMAGED: {cause}"),
    }
}

fn meta(f: &mut Formatter<'_>, content: &MetaContent) -> fmt::Result {
    let record = &content.record;
    if let Some(fault) = &content.fault {
        writeln!(f, "  DAMAGED: {fault}")?;
    }
    writeln!(f, "  node: {}", record.node)?;
    match record.cluster {
        Some(cluster) => writeln!(f, "  cluster: {cluster}")?,
        None => writeln!(f, "  cluster: none yet")?,
    }
    let ended = match record.clean_stop {
        true => "stopped cleanly",
        false => "did not stop cleanly",
    };
    writeln!(f, "  runs: {}, the last one {ended}", record.incarnation)?;
    let promises = &record.promises;
    match &promises.view {
        None => writeln!(f, "  view: none yet")?,
        Some(view) => {
            write!(
                f,
                "  view: epoch {}, primary {}",
                view.epoch, view.primary.node
            )?;
            write!(f, " in run {}, backups", view.primary.incarnation)?;
            if view.backups.is_empty() {
                write!(f, " none")?;
            }
            for backup in &view.backups {
                write!(f, " {backup}")?;
            }
            writeln!(f)?;
        }
    }
    writeln!(f, "  sealed below epoch: {}", promises.seal)?;
    if let Some(release) = &promises.release {
        let (epoch, seat) = (release.epoch, release.seat);
        writeln!(f, "  gave up: epoch {epoch}, in run {}", seat.incarnation)?;
    }
    writeln!(f, "  longest lease: {} ms", promises.longest_lease_ms)?;
    match record.fsync {
        Some(FsyncMode::Always) => writeln!(f, "  fsync: always"),
        Some(FsyncMode::EverySec) => writeln!(f, "  fsync: everysec"),
        None => writeln!(f, "  fsync: none yet"),
    }
}

impl Display for GenerationContent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        database(f, "  checkpoint", &self.checkpoint, checkpoint)?;
        match &self.log {
            LogContent::Read(found) => log(f, found),
            LogContent::Unreadable { cause } => writeln!(f, "  log: DAMAGED: {cause}"),
        }
    }
}

fn checkpoint(f: &mut Formatter<'_>, content: &CheckpointContent) -> fmt::Result {
    let (applied, keys, sessions) = (content.history.last(), content.keys, content.sessions);
    writeln!(
        f,
        "    position: {applied}, {keys} keys, {sessions} sessions"
    )?;
    if let Some(ahead) = content.ahead {
        writeln!(
            f,
            "    a round was under way: some keys are of entries up to {ahead}"
        )?;
    }
    match &content.unfit {
        Some(cause) => writeln!(f, "    UNFIT, the node needs a copy: {cause}"),
        None => Ok(()),
    }
}

fn log(f: &mut Formatter<'_>, found: &FoundLog) -> fmt::Result {
    let count = found.segments.len();
    let (first, last, committed) = (found.first, found.last, found.committed);
    writeln!(f, "  log: {count} segments, entries {first} to {last}")?;
    writeln!(f, "    committed: at least up to {committed}")?;
    if found.base != BaseId::default() {
        writeln!(f, "    base: imported, digest {:032x}", found.base.0)?;
    }
    for segment in &found.segments {
        let (used, length) = (segment.used_bytes, segment.length_bytes);
        write!(f, "    {}: ", segment.name)?;
        if segment.last < segment.first {
            write!(f, "no entry")?;
        } else {
            write!(f, "entries {} to {}", segment.first, segment.last)?;
        }
        writeln!(f, ", {used} of {length} bytes used")?;
    }
    if let Some(torn) = &found.torn {
        let (segment, offset) = (torn.segment.display(), torn.offset);
        writeln!(
            f,
            "    torn tail: {segment} from byte {offset} on, behind entry {}",
            torn.last
        )?;
    }
    match &found.damage {
        Some(damage) => writeln!(f, "    DAMAGED: {damage}"),
        None => Ok(()),
    }
}

fn db_txt(f: &mut Formatter<'_>, content: &DbTxtContent) -> fmt::Result {
    let (path, bytes, pairs) = (content.path.display(), content.bytes, content.pairs);
    write!(f, "db.txt: {path}, {bytes} bytes, {pairs} pairs, ")?;
    match content.position {
        Some(position) => writeln!(f, "position {position}")?,
        None => writeln!(f, "no position")?,
    }
    match &content.error {
        Some(error) => writeln!(f, "  DAMAGED: {error}"),
        None => Ok(()),
    }
}
