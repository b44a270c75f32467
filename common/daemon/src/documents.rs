//! Manual pages and completions, written from what the command line takes.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

/// Asks for the documents, before anything else is looked at.
const FLAG: &str = "--write-documents";

/// Writes what was asked for with `--write-documents DIR`: for packagers, so no help tells of it. None:
/// nothing was asked for.
pub fn asked_for(command: impl FnOnce() -> Command) -> Option<ExitCode> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [flag, folder] = words.as_slice() else {
        return None;
    };
    if flag != FLAG {
        return None;
    }
    match write(command(), Path::new(folder)) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            // There is no log yet, and nowhere else to say it.
            let _ = writeln!(io::stderr(), "the documents cannot be written: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn write(mut command: Command, folder: &Path) -> io::Result<()> {
    let name = command.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, &name, folder)?;
    }
    clap_mangen::generate_to(command, folder)
}

#[cfg(test)]
mod tests {
    use super::write;
    use clap::{Arg, Command};
    use std::fs;

    #[test]
    fn there_is_a_page_for_each_command_and_a_completion_for_each_shell() {
        let folder = tempfile::tempdir().expect("a folder");
        let command = Command::new("tool")
            .arg(Arg::new("colour").long("colour"))
            .subcommand(Command::new("paint").about("Paints"));
        write(command, folder.path()).expect("writes");
        for file in ["tool.1", "tool-paint.1", "tool.bash", "_tool", "tool.fish"] {
            let text = fs::read_to_string(folder.path().join(file)).expect(file);
            assert!(
                text.contains("colour") || file == "tool-paint.1",
                "{file}: {text}"
            );
        }
    }
}
