//! What `kvnode` does with a data directory instead of running on it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::support::{Client, Node, Single};

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

#[tokio::test]
async fn a_node_with_a_damaged_checkpoint_goes_on_after_it_was_recovered() {
    let mut single = Single::start(&[]).await;
    for number in 0..20 {
        single.client.put(&format!("k{number}"), b"v").await;
    }
    let data_dir = single.data_dir();
    single.node.stop().await;
    let sound = kvnode(&["recover"], &data_dir);
    assert_eq!(sound.status.code(), Some(2), "{}", text(&sound.stdout));
    assert!(text(&sound.stderr).contains("is not damaged"));
    let database = data_dir.join("gen-000001/checkpoint/db");
    let length = fs::metadata(&database).expect("is there").len();
    let garbage = vec![0x5a; usize::try_from(length).expect("fits")];
    fs::write(&database, garbage).expect("writes");
    let planned = kvnode(&["recover"], &data_dir);
    let shown = text(&planned.stdout);
    assert_eq!(planned.status.code(), Some(1), "{shown}");
    assert!(shown.contains("nothing was changed"), "{shown}");
    let recovered = kvnode(&["recover", "--accept-loss"], &data_dir);
    let shown = text(&recovered.stdout);
    assert_eq!(
        recovered.status.code(),
        Some(0),
        "{shown}{}",
        text(&recovered.stderr)
    );
    assert!(shown.contains("brought back 20 keys"), "{shown}");
    let mut node = Node::start(&data_dir, &single.door.address, &[]);
    let address = node.address().await;
    single.door.node().await.make_primary(2).await;
    let mut client = Client::of(&address).await;
    assert_eq!(client.get("k19").await.as_deref(), Some(&b"v"[..]));
    node.stop().await;
}
