//! Names the commit that is built, for `--version`.

use std::process::Command;

fn main() {
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=KV_COMMIT={commit}");
    // Grows with each commit, and is absent outside a checkout.
    let watched = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    match watched.filter(|path| std::path::Path::new(path).exists()) {
        Some(path) => println!("cargo:rerun-if-changed={path}"),
        None => println!("cargo:rerun-if-changed=build.rs"),
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
