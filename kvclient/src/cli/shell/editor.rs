//! Lines from a terminal: editing, history, completion.

use std::path::PathBuf;

use clap::CommandFactory;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Context, Editor, Helper, Highlighter, Hinter, Validator};

use crate::cli::arguments::ShellLine;
use crate::cli::failure::Failure;

const PROMPT: &str = "kv> ";

/// A line editor with its history. Taken out while a thread waits in it.
pub(super) struct LineEditor {
    editor: Option<Editor<Commands, DefaultHistory>>,
    history: Option<PathBuf>,
}

impl LineEditor {
    pub(super) fn open() -> Result<Self, Failure> {
        let mut editor = Editor::new().map_err(|cause| internal(&cause))?;
        editor.set_helper(Some(Commands::new()));
        let history = history_file();
        if let Some(file) = &history {
            // There is none before the first use.
            let _ = editor.load_history(file);
        }
        Ok(Self {
            editor: Some(editor),
            history,
        })
    }

    /// The next line; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            let Some(mut editor) = self.editor.take() else {
                return Ok(None);
            };
            let waiting = tokio::task::spawn_blocking(move || {
                let line = editor.readline(PROMPT);
                (editor, line)
            });
            let (mut editor, line) = waiting.await.map_err(|cause| internal(&cause))?;
            let next = match line {
                Ok(line) => {
                    // A line that cannot be remembered is carried out all the same.
                    let _ = editor.add_history_entry(&line);
                    Some(Some(line.into_bytes()))
                }
                Err(ReadlineError::Interrupted) => None,
                Err(ReadlineError::Eof) => Some(None),
                Err(cause) => return Err(internal(&cause)),
            };
            self.editor = Some(editor);
            if let Some(next) = next {
                return Ok(next);
            }
        }
    }
}

impl Drop for LineEditor {
    fn drop(&mut self) {
        if let (Some(editor), Some(file)) = (&mut self.editor, &self.history) {
            // The history is a comfort; a folder that cannot be written to must not be in the way.
            let _ = file.parent().map(std::fs::create_dir_all);
            let _ = editor.save_history(file);
        }
    }
}

fn history_file() -> Option<PathBuf> {
    let state = match std::env::var_os("XDG_STATE_HOME") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".local/state"),
    };
    Some(state.join("kvclient").join("history"))
}

fn internal(cause: &impl ToString) -> Failure {
    Failure::Internal {
        what: format!("the terminal cannot be read: {}", cause.to_string()),
    }
}

/// Completes commands and their options.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Commands {
    commands: clap::Command,
}

impl Commands {
    fn new() -> Self {
        let mut commands = ShellLine::command();
        commands.build();
        Self { commands }
    }

    /// What can follow `before`, the words that are complete.
    fn candidates(&self, before: &[&str]) -> Vec<String> {
        let mut command = &self.commands;
        for word in before {
            match command.find_subcommand(word) {
                Some(below) => command = below,
                None => break,
            }
        }
        let below = command
            .get_subcommands()
            .map(|below| below.get_name().to_owned());
        let options = command
            .get_arguments()
            .filter_map(|argument| argument.get_long());
        let mut candidates: Vec<_> = below
            .chain(options.map(|option| format!("--{option}")))
            .collect();
        if before.is_empty() {
            candidates.push("exit".to_owned());
        }
        candidates.sort();
        candidates
    }
}

impl Completer for Commands {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..position).unwrap_or_default();
        let start = typed.rfind(' ').map_or(0, |space| space + 1);
        let before: Vec<_> = typed[..start].split_whitespace().collect();
        let mut candidates = self.candidates(&before);
        candidates.retain(|candidate| candidate.starts_with(&typed[start..]));
        Ok((start, candidates))
    }
}

#[cfg(test)]
mod tests {
    use super::Commands;

    #[test]
    fn commands_and_their_options_are_completed() {
        let commands = Commands::new();
        let first = commands.candidates(&[]);
        for expected in ["get", "put", "exit", "help"] {
            assert!(first.iter().any(|name| name == expected), "{first:?}");
        }
        let options = commands.candidates(&["put"]);
        assert!(
            options.iter().any(|name| name == "--if-absent"),
            "{options:?}"
        );
        let orders = commands.candidates(&["admin"]);
        assert!(orders.iter().any(|name| name == "switchover"), "{orders:?}");
    }
}
