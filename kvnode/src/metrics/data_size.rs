//! How much of the disk the data takes.

use std::fs;
use std::path::Path;

/// The bytes of the files below the parts of the current generation, each part with its name. Nothing is
/// said of what changes while it is looked at.
pub(super) fn data_sizes(data_dir: &Path) -> Vec<(&'static str, u64)> {
    let Ok(current) = fs::read_to_string(data_dir.join("CURRENT")) else {
        return Vec::new();
    };
    let generation = data_dir.join(current.trim());
    ["log", "checkpoint"]
        .into_iter()
        .map(|part| (part, bytes_below(&generation.join(part))))
        .collect()
}

fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::data_sizes;
    use std::fs;

    #[test]
    fn only_the_current_generation_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(data_sizes(folder.path()).is_empty());
        for (generation, bytes) in [("gen-1", 7), ("gen-2", 11)] {
            let blobs = folder.path().join(generation).join("checkpoint/blobs");
            fs::create_dir_all(&blobs).expect("a folder");
            fs::write(blobs.join("1"), vec![0; bytes]).expect("a file");
        }
        fs::write(folder.path().join("CURRENT"), "gen-2\n").expect("a file");
        assert_eq!(data_sizes(folder.path()), [("log", 0), ("checkpoint", 11)]);
    }
}
