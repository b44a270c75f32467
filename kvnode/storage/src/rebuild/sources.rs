//! What is left in a damaged data directory.

use std::fs;
use std::path::{Path, PathBuf};

use kv_common::history::{BaseId, History};
use kv_common::id::Position;

use super::{Base, RebuildError, reached};
use crate::generation::{self, PREFIX};
use crate::inspection::database::{self, CheckpointContent, Database};
use crate::inspection::db_txt::{self, DbTxtContent};
use crate::log_disk::LogDisk;
use crate::log_error::LogDamage;
use crate::log_index::SharedIndex;
use crate::log_reader::LogReader;
use crate::log_scan::scan;
use crate::set_aside::SET_ASIDE;

const READ_BYTES: usize = 4 << 20;

/// Everything that data may be brought back from.
#[derive(Debug)]
pub(super) struct Sources {
    generations: Vec<Source>,
    db_txt_path: PathBuf,
    db_txt: Option<DbTxtContent>,
}

/// A generation, current or set aside.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    is_current: bool,
    checkpoint_dir: PathBuf,
    /// Nothing when it does not open, or must not be used.
    pub(super) checkpoint: Result<CheckpointContent, String>,
    pub(super) log: Result<LogSource, String>,
}

/// The part of a log before any damage.
#[derive(Debug)]
pub(super) struct LogSource {
    dir: PathBuf,
    pub(super) base: BaseId,
    /// The position before its first entry.
    pub(super) before: Position,
    pub(super) last: Position,
    /// From `before` on.
    pub(super) history: History,
    pub(super) damage: Option<LogDamage>,
}

impl Sources {
    pub(super) fn look(
        data_dir: &Path,
        db_txt_path: &Path,
        scratch_dir: &Path,
    ) -> Result<Self, RebuildError> {
        let io = |source| RebuildError::Io {
            path: data_dir.to_owned(),
            source,
        };
        // A file CURRENT that cannot be read leaves the generations themselves.
        let current = generation::current(data_dir).ok().flatten();
        let mut generations = Vec::new();
        for entry in fs::read_dir(data_dir).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(PREFIX) || name.starts_with(SET_ASIDE) {
                let is_current = current
                    .as_ref()
                    .is_some_and(|current| current.name() == name);
                generations.push(Source::look(&entry.path(), name, is_current, scratch_dir)?);
            }
        }
        generations.sort_by(|one, other| one.name.cmp(&other.name));
        let text = db_txt::look(db_txt_path).map_err(|source| RebuildError::Io {
            path: db_txt_path.to_owned(),
            source,
        })?;
        Ok(Self {
            generations,
            db_txt_path: db_txt_path.to_owned(),
            db_txt: text,
        })
    }

    /// Whether the node would serve from its current data as it is.
    pub(super) fn current_is_sound(&self) -> bool {
        let current = self.generations.iter().find(|source| source.is_current);
        current.is_some_and(|source| match (&source.checkpoint, &source.log) {
            (Ok(checkpoint), Ok(log)) => {
                let at = checkpoint.history.last();
                log.damage.is_none()
                    && log.base == checkpoint.history.base()
                    && log.before.seq <= at.seq
                    && log.last.seq >= reached(checkpoint.ahead, at)
            }
            _ => false,
        })
    }

    /// What a log may go on from, the best first.
    pub(super) fn bases(&self) -> Vec<Base> {
        let mut bases = Vec::new();
        for (source, generation) in self.generations.iter().enumerate() {
            if let Ok(checkpoint) = &generation.checkpoint {
                let at = checkpoint.history.last();
                bases.push(Base::Checkpoint { source, at });
            }
        }
        let text = self.db_txt.as_ref().filter(|text| text.is_sound());
        if let Some(at) = text.and_then(|text| text.position) {
            bases.push(Base::DbTxt { at });
        }
        bases.push(Base::Empty);
        bases
    }

    /// Whether a base is something without a log.
    pub(super) fn stands_alone(&self, base: &Base) -> bool {
        match base {
            Base::Checkpoint { source, .. } => self
                .checkpoint(*source)
                .is_some_and(|content| content.ahead.is_none()),
            Base::DbTxt { .. } => true,
            Base::Empty => false,
        }
    }

    /// Whether a log goes on from a base.
    pub(super) fn fits(&self, base: &Base, log: &LogSource) -> bool {
        let at = base.at();
        let holds_its_end = at == log.before
            || (at.seq > log.before.seq
                && at.seq <= log.last.seq
                && log.history.position_of(at.seq) == at);
        match base {
            Base::Checkpoint { source, .. } => self.checkpoint(*source).is_some_and(|content| {
                holds_its_end
                    && log.base == content.history.base()
                    && log.last.seq >= reached(content.ahead, at)
            }),
            Base::DbTxt { .. } => holds_its_end,
            Base::Empty => {
                log.before == Position::ZERO
                    && log.base == BaseId::default()
                    && log.last > Position::ZERO
            }
        }
    }

    pub(super) fn logs(&self) -> impl Iterator<Item = (usize, &LogSource)> {
        let generations = self.generations.iter().enumerate();
        generations.filter_map(|(index, source)| Some((index, source.log.as_ref().ok()?)))
    }

    pub(super) fn log(&self, source: usize) -> Option<&LogSource> {
        self.generations.get(source)?.log.as_ref().ok()
    }

    fn checkpoint(&self, source: usize) -> Option<&CheckpointContent> {
        self.generations.get(source)?.checkpoint.as_ref().ok()
    }

    pub(super) fn base_of(&self, source: usize) -> BaseId {
        self.checkpoint(source)
            .map_or(BaseId::default(), |content| content.history.base())
    }

    pub(super) fn checkpoint_dir(&self, source: usize) -> &Path {
        &self.generations[source].checkpoint_dir
    }

    pub(super) fn generations(&self) -> &[Source] {
        &self.generations
    }

    pub(super) fn name_of(&self, source: usize) -> &str {
        &self.generations[source].name
    }

    pub(super) fn db_txt(&self) -> &Path {
        &self.db_txt_path
    }

    pub(super) fn text(&self) -> Option<&DbTxtContent> {
        self.db_txt.as_ref()
    }
}

impl Source {
    fn look(
        path: &Path,
        name: String,
        is_current: bool,
        scratch_dir: &Path,
    ) -> Result<Self, RebuildError> {
        let checkpoint_dir = path.join("checkpoint");
        let checkpoint = match database::checkpoint(&checkpoint_dir, scratch_dir, false) {
            Database::Read { content, .. } => match &content.unfit {
                None => Ok(content),
                Some(cause) => Err(format!("it was marked as unfit: {cause}")),
            },
            Database::Missing => Err("there is none".to_owned()),
            Database::Damaged { cause } => Err(cause),
            Database::InUse => Err("it is in use".to_owned()),
            Database::NoRoom { bytes, scratch_dir } => {
                let cause = format!("{scratch_dir} has no room for a copy of {bytes} bytes");
                return Err(RebuildError::NotLookedAt { cause });
            }
            Database::NotCopied { cause } => {
                let cause = format!("the checkpoint in {name} cannot be copied: {cause}");
                return Err(RebuildError::NotLookedAt { cause });
            }
        };
        Ok(Self {
            name,
            is_current,
            checkpoint_dir,
            checkpoint,
            log: LogSource::look(&path.join("log")),
        })
    }
}

impl LogSource {
    fn look(dir: &Path) -> Result<Self, String> {
        let found = scan(dir).map_err(|error| error.to_string())?;
        if found.index.segments.is_empty() {
            return Err("no segment can be read".to_owned());
        }
        let reader = LogReader::new(LogDisk::default(), SharedIndex::holding(found.index));
        let mut history = History::known_from(found.base, found.before);
        while history.last().seq < found.last.seq {
            let next = history.last().seq.next();
            let batches = reader.read_through(next, found.last.seq, READ_BYTES);
            for batch in batches.map_err(|error| error.to_string())? {
                history.extend_run(batch.epoch(), batch.first(), batch.last());
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            base: found.base,
            before: found.before,
            last: found.last,
            history,
            damage: found.damage,
        })
    }

    pub(super) fn reader(&self) -> Result<LogReader, RebuildError> {
        let found = scan(&self.dir)?;
        Ok(LogReader::new(
            LogDisk::default(),
            SharedIndex::holding(found.index),
        ))
    }
}
