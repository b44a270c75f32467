//! What `kvnode` does with a data directory instead of running on it.

use std::path::Path;
use std::process::{Command, Output};

use super::support::Single;

fn kvnode(words: &[&str], data_dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvnode"));
    let output = command.args(words).arg(data_dir).output();
    output.expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_data_directory_is_shown_while_in_use_and_after() {
    let mut single = Single::start(&[]).await;
    single.client.put("k", b"v").await;
    let data_dir = single.data_dir();
    let output = kvnode(&["inspect"], &data_dir);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("a node is running on it"), "{shown}");
    single.node.stop().await;
    let output = kvnode(&["inspect"], &data_dir);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("stopped cleanly"), "{shown}");
    assert!(
        shown.contains("1 keys") && shown.contains("1 pairs"),
        "{shown}"
    );
}

#[test]
fn a_folder_that_is_none_and_a_tool_that_is_none_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = kvnode(&["inspect"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("no data directory") && said.lines().count() == 1,
        "{said}"
    );
    let output = kvnode(&["mend"], folder.path());
    assert_eq!(output.status.code(), Some(2));
}
