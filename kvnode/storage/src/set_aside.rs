//! Generations that no longer count and are kept all the same, each in a folder beside the current one.
//!
//! ```text
//! set-aside-gen-000001            certainly holds what the current data lacks; stays until it is removed by hand
//! set-aside-in-doubt-gen-000001   may do so; the newest few are kept
//! ```
//!
//! Where several have the same number, `-2` and so on follows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kv_store::file::sync_dir;

use crate::generation::{self, Generation, PREFIX};

/// How the names of all folders begin that hold data which was set aside.
pub(crate) const SET_ASIDE: &str = "set-aside-";
/// How those of them begin that were set aside in doubt.
pub(crate) const IN_DOUBT: &str = "set-aside-in-doubt-";
/// How many generations are kept that were set aside in doubt.
pub(crate) const IN_DOUBT_MAX: usize = 2;

/// Keeps a generation that no longer counts beside the others. Says where.
pub(crate) fn set_aside(data_dir: &Path, generation: &Generation) -> io::Result<PathBuf> {
    let path = keep_as(data_dir, generation, SET_ASIDE)?;
    tracing::warn!(
        folder = %path.display(),
        "replaced data was set aside; `kvnode inspect` shows it, remove it when nobody needs it"
    );
    Ok(path)
}

/// The same for a generation of which nobody knows whether it holds anything that the current one lacks.
/// The current one has all of it that can be read. The oldest of such data goes when there is too much of it,
/// and before this is added: a run that ends in between leaves no more than there was.
pub(crate) fn set_aside_in_doubt(data_dir: &Path, generation: &Generation) -> io::Result<PathBuf> {
    let mut kept = in_doubt(data_dir)?;
    kept.truncate(kept.len().saturating_sub(IN_DOUBT_MAX - 1));
    for path in kept {
        generation::remove_folder(data_dir, &path)?;
    }
    let path = keep_as(data_dir, generation, IN_DOUBT)?;
    tracing::warn!(
        folder = %path.display(),
        kept = IN_DOUBT_MAX,
        "replaced data was set aside, as a part of it cannot be read; the newest few of such data are kept"
    );
    Ok(path)
}

fn keep_as(data_dir: &Path, generation: &Generation, prefix: &str) -> io::Result<PathBuf> {
    let mut path = data_dir.join(format!("{prefix}{}", generation.name()));
    let mut count = 1;
    while path.exists() {
        count += 1;
        path = data_dir.join(format!("{prefix}{}-{count}", generation.name()));
    }
    fs::rename(generation.path(), &path)?;
    sync_dir(data_dir)?;
    Ok(path)
}

/// The folders that were set aside in doubt, the oldest first.
fn in_doubt(data_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(order) = name.to_str().and_then(order_in_doubt) {
            found.push((order, entry.path()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The generation's number, and the how manieth of that number it is. Nothing for a name of another kind:
/// what is not known is not removed.
fn order_in_doubt(name: &str) -> Option<(u64, u64)> {
    let name = name.strip_prefix(IN_DOUBT)?.strip_prefix(PREFIX)?;
    let (number, count) = name.split_once('-').unwrap_or((name, "1"));
    Some((number.parse().ok()?, count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{in_doubt, set_aside, set_aside_in_doubt};
    use crate::generation::{begin, current, make_current, remove_unfinished};
    use crate::options::StorageOptions;
    use std::fs;
    use std::path::Path;

    fn options() -> StorageOptions {
        StorageOptions::default()
    }

    fn names(dir: &Path) -> Vec<String> {
        let kept = in_doubt(dir).expect("lists");
        let name = |path: &std::path::PathBuf| {
            let name = path.file_name().expect("has a name");
            name.to_string_lossy().into_owned()
        };
        kept.iter().map(name).collect()
    }

    #[test]
    fn what_is_set_aside_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        let first = begin(dir, &options()).expect("begins");
        make_current(dir, &first).expect("switches");
        let second = begin(dir, &options()).expect("begins");
        make_current(dir, &second).expect("switches");
        let aside = set_aside(dir, &first).expect("sets aside");
        remove_unfinished(dir, &options()).expect("cleans");
        assert!(aside.join("log").is_dir());
        assert_eq!(current(dir).expect("reads"), Some(second));
    }

    #[test]
    fn of_what_is_in_doubt_the_newest_are_kept_and_of_the_rest_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        // Neither is one of those that may go.
        for name in ["set-aside-gen-000001", "set-aside-in-doubt-gen-000001-mine"] {
            fs::create_dir(dir.join(name)).expect("makes");
        }
        for number in 1..=12 {
            let generation = begin(dir, &options()).expect("begins");
            make_current(dir, &generation).expect("switches");
            set_aside_in_doubt(dir, &generation).expect("sets aside");
            // As if it had been replaced: numbers go on behind the current one.
            fs::create_dir_all(dir.join(generation.name())).expect("makes");
            assert!(names(dir).len() <= 2, "{:?} after {number}", names(dir));
        }
        let newest = [11, 12].map(|number| format!("set-aside-in-doubt-gen-{number:06}"));
        assert_eq!(names(dir), newest);
        assert!(dir.join("set-aside-gen-000001").is_dir());
        assert!(dir.join("set-aside-in-doubt-gen-000001-mine").is_dir());
        let removed = fs::read_dir(dir).expect("lists").filter(|entry| {
            let name = entry.as_ref().expect("lists").file_name();
            name.to_string_lossy().starts_with("removed-")
        });
        assert_eq!(removed.count(), 0);
    }
}
