//! What a rebuild would cover, for people.

use std::fmt::{self, Display, Formatter};

use super::sources::Source;
use super::{Base, RebuildPlan};

impl Display for RebuildPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "what is there:")?;
        for source in self.sources.generations() {
            source.fmt(f)?;
        }
        let path = self.sources.db_txt().display();
        match self.sources.text() {
            None => writeln!(f, "  {path}: not there")?,
            Some(text) => {
                write!(f, "  {path}: {} pairs, ", text.pairs)?;
                match (&text.error, text.position) {
                    (Some(error), _) => writeln!(f, "not usable: {error}")?,
                    (None, None) => {
                        writeln!(f, "not usable: it has no position, so it may be cut off")?
                    }
                    (None, Some(position)) => writeln!(f, "position {position}")?,
                }
            }
        }
        writeln!(f, "what can be brought back:")?;
        let at = self.base.at();
        match &self.base {
            Base::Checkpoint { source, .. } => {
                let name = self.sources.name_of(*source);
                writeln!(f, "  the state at {at} from the checkpoint of {name}")?;
            }
            Base::DbTxt { .. } => writeln!(f, "  the state at {at} from {path}")?,
            Base::Empty => writeln!(f, "  the empty state")?,
        }
        if let Some(index) = self.log {
            let name = self.sources.name_of(index);
            writeln!(f, "  entries up to {} from the log of {name}", self.covers)?;
        }
        writeln!(f, "what cannot be known:")?;
        writeln!(
            f,
            "  whether writes behind {} were acknowledged; they are gone, unless another node has them",
            self.covers
        )?;
        if !matches!(self.base, Base::Checkpoint { .. }) {
            writeln!(
                f,
                "  which requests up to {at} were carried out: clients that repeat one are refused"
            )?;
        }
        Ok(())
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.checkpoint {
            Ok(content) => {
                let (at, keys) = (content.history.last(), content.keys);
                writeln!(f, "  {name}, checkpoint: position {at}, {keys} keys")?;
            }
            Err(cause) => writeln!(f, "  {name}, checkpoint: not usable: {cause}")?,
        }
        match &self.log {
            Ok(log) => {
                let (first, last) = (log.before.seq.next(), log.last);
                write!(f, "  {name}, log: entries {first} to {last}")?;
                match &log.damage {
                    Some(damage) => writeln!(f, "; {damage}"),
                    None => writeln!(f),
                }
            }
            Err(cause) => writeln!(f, "  {name}, log: not usable: {cause}"),
        }
    }
}
