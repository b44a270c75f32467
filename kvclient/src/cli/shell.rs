//! shell: commands typed one by one, over one connection.

mod editor;
mod words;

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal};

use clap::Parser;

use self::editor::LineEditor;
use super::arguments::ShellLine;
use super::failure::{self, Failure, Verdict};
use super::{Context, execute};

const GREETING: &str = "Type 'help' for the commands, 'exit' to leave.";

pub(crate) async fn run(context: &mut Context) -> Result<Verdict, Failure> {
    let mut lines = if std::io::stdin().is_terminal() {
        println!("{GREETING}");
        Lines::Terminal(Box::new(LineEditor::open()?))
    } else {
        Lines::Stream
    };
    let mut last = Ok(Verdict::Done);
    while let Some(line) = lines.next().await? {
        let words = match words::split(&line) {
            Ok(words) => words,
            Err(wrong) => {
                last = Err(Failure::Usage {
                    what: wrong.to_string(),
                });
                complain_of(&last);
                continue;
            }
        };
        match words.first().and_then(|word| word.to_str()) {
            None if words.is_empty() => continue,
            Some("exit" | "quit") => break,
            _ => {}
        }
        last = run_line(context, words).await;
        let flushed = context.output.flush();
        complain_of(&last);
        flushed?;
    }
    // What went wrong was said when it did.
    match last {
        Err(failure) if !lines.is_terminal() => Err(failure),
        Err(_) => Ok(Verdict::Done),
        Ok(_) if lines.is_terminal() => Ok(Verdict::Done),
        Ok(verdict) => Ok(verdict),
    }
}

async fn run_line(context: &mut Context, words: Vec<OsString>) -> Result<Verdict, Failure> {
    match ShellLine::try_parse_from(words) {
        // The future of a command is large, and the shell's own need not be.
        Ok(line) => Box::pin(execute(context, line.command)).await,
        Err(wrong) if wrong.use_stderr() => Err(Failure::Usage {
            what: first_line(&wrong.to_string()),
        }),
        Err(help) => {
            context.output.bytes(help.to_string().as_bytes())?;
            Ok(Verdict::Done)
        }
    }
}

fn complain_of(result: &Result<Verdict, Failure>) {
    if let Err(failure) = result {
        failure::complain(failure);
    }
}

fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Where lines come from.
enum Lines {
    Terminal(Box<LineEditor>),
    Stream,
}

impl Lines {
    fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line; none at the end. Waits on a thread of its own, so that connections stay
    /// served.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Terminal(editor) => editor.next().await,
            Self::Stream => {
                let read = tokio::task::spawn_blocking(read_line).await;
                read.unwrap_or(Ok(None)).map_err(Failure::of_input)
            }
        }
    }
}

fn read_line() -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = std::io::stdin().lock().read_until(b'\n', &mut line)?;
    Ok((read > 0).then_some(line))
}
