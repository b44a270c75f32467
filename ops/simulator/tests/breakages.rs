//! The deliberate breakages still fit the sources.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use simulator::breakages::read_all;

#[test]
fn every_breakage_fits_the_sources_and_changes_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let breakages = read_all(&root).expect("the list is read");
    let names: BTreeSet<&str> = breakages.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names.len(), breakages.len(), "a name occurs twice");
    for breakage in &breakages {
        let files = breakage.changed_files(&root).expect("it fits");
        assert!(!files.is_empty(), "{} changes nothing", breakage.name);
    }
}
