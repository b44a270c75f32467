//! Tables in Markdown, and plots, of many measurements.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use indexmap::IndexMap;

use crate::measurement::Measurement;
use crate::plot;
use crate::statistics::{Spread, spread};

/// The order in which figures stand; others follow by name.
const FIGURES: [&str; 8] = [
    "operations_per_second",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "longest_gap_ms",
    "lost",
    "max_ms",
    "errors",
];

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// JSON objects of runs, one a line
    #[arg(long, value_name = "FILE")]
    results: PathBuf,
    /// What is aimed at: lines of ROW OURS PEER FIGURE <=|>= BOUND; the figure of OURS by that of PEER, or
    /// where PEER is -, the figure itself; FIGURE:max is the worst run, else the median counts
    #[arg(long, value_name = "FILE")]
    goals: Option<PathBuf>,
    /// Where the plots go: NAME.svg and NAME-p99.svg for each row with a curve, rows.svg for the others
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

/// The runs of one contender in one row, at one place of the x axis.
type Runs = BTreeMap<String, Vec<f64>>;
/// By row, contender and x; x as text, for it is a key.
pub(crate) type Rows = IndexMap<String, IndexMap<(String, String), Runs>>;

pub(crate) fn run(arguments: &ReportArguments) -> anyhow::Result<()> {
    let text = read(&arguments.results)?;
    let (rows, errors) = gather(&text)?;
    print!("{}", figures(&rows));
    if let Some(path) = &arguments.goals {
        let goals = parse_goals(&read(path)?)?;
        print!("{}", goals_table(&goals, &rows));
    }
    for error in errors {
        println!("- {error}");
    }
    if let Some(folder) = &arguments.plots {
        fs::create_dir_all(folder)?;
        for (name, svg) in plot::all(&rows) {
            fs::write(folder.join(format!("{name}.svg")), svg)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn gather(text: &str) -> anyhow::Result<(Rows, Vec<String>)> {
    let mut rows = Rows::new();
    let mut errors = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let run: Measurement = serde_json::from_str(line)
            .with_context(|| format!("line {number} is no measurement: {line}"))?;
        if let Some(error) = &run.first_error {
            errors.push(format!("{}, {}: {error}", run.row, run.contender));
        }
        let x = run.x.map_or(String::new(), |x| x.to_string());
        let row = rows.entry(run.row).or_default();
        let runs = row.entry((run.contender, x)).or_default();
        for (name, value) in run.figures {
            runs.entry(name).or_default().push(value);
        }
    }
    errors.sort();
    errors.dedup();
    Ok((rows, errors))
}

/// The figure of which a row is about: the first that it has.
pub(crate) fn head_figure(runs: &Runs) -> Option<&str> {
    figure_names(runs).first().copied()
}

fn figure_names(runs: &Runs) -> Vec<&str> {
    let known = FIGURES.into_iter().filter(|name| runs.contains_key(*name));
    let others = runs.keys().map(String::as_str);
    known
        .chain(others.filter(|name| !FIGURES.contains(name)))
        .collect()
}

fn figures(rows: &Rows) -> String {
    let mut text = String::new();
    for (row, contenders) in rows {
        let mut all = Runs::new();
        for runs in contenders.values() {
            all.extend(runs.clone());
        }
        let names = figure_names(&all);
        let on_curve = contenders.keys().any(|(_, x)| !x.is_empty());
        let _ = write!(text, "\n### {row}\n\n| contender |");
        let x_heading = if on_curve { " x |" } else { "" };
        let _ = writeln!(text, "{x_heading} runs | {} |", names.join(" | "));
        let columns = names.len() + 2 + usize::from(on_curve);
        let _ = writeln!(text, "|{}", "---|".repeat(columns));
        for ((contender, x), runs) in contenders {
            let count = runs.values().map(Vec::len).max().unwrap_or(0);
            let _ = write!(text, "| {contender} |");
            if on_curve {
                let _ = write!(text, " {x} |");
            }
            let _ = write!(text, " {count} |");
            for name in &names {
                let cell = runs.get(*name).and_then(|values| spread(values));
                let _ = write!(text, " {} |", cell.map_or("-".to_owned(), cell_text));
            }
            text.push('\n');
        }
    }
    text
}

fn cell_text(of: Spread) -> String {
    if of.min == of.max {
        number_text(of.median)
    } else {
        let (min, max) = (number_text(of.min), number_text(of.max));
        format!("{} ({min}–{max})", number_text(of.median))
    }
}

/// Three digits that count, and no more than are there.
pub(crate) fn number_text(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        value if value < 1.0 => 3,
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// One line of the goals.
#[derive(Clone, Debug, PartialEq)]
struct Goal {
    row: String,
    ours: String,
    peer: Option<String>,
    figure: String,
    worst: bool,
    at_most: bool,
    bound: f64,
}

fn parse_goals(text: &str) -> anyhow::Result<Vec<Goal>> {
    let lines = text.lines().filter(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    lines
        .map(|line| parse_goal(line).with_context(|| format!("'{line}' is no goal")))
        .collect()
}

fn parse_goal(line: &str) -> Option<Goal> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [row, ours, peer, figure, relation, bound] = words.as_slice() else {
        return None;
    };
    let (name, worst) = match figure.strip_suffix(":max") {
        Some(name) => (name, true),
        None => (*figure, false),
    };
    Some(Goal {
        row: (*row).to_owned(),
        ours: (*ours).to_owned(),
        peer: (*peer != "-").then(|| (*peer).to_owned()),
        figure: name.to_owned(),
        worst,
        at_most: match *relation {
            "<=" => true,
            ">=" => false,
            _ => return None,
        },
        bound: bound.parse().ok()?,
    })
}

fn goals_table(goals: &[Goal], rows: &Rows) -> String {
    let mut text = String::from(
        "\n### Goals\n\n| row | ours | against | figure | ratio or value | goal | met |\n|---|---|---|---|---|---|---|\n",
    );
    let mut any = false;
    for goal in goals {
        let Some(value) = value_of(goal, rows) else {
            continue;
        };
        any = true;
        let met = if goal.at_most {
            value <= goal.bound
        } else {
            value >= goal.bound
        };
        let relation = if goal.at_most { "≤" } else { "≥" };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {}{} | {} | {relation} {} | {} |",
            goal.row,
            goal.ours,
            goal.peer.as_deref().unwrap_or("-"),
            goal.figure,
            if goal.worst { ", worst" } else { "" },
            number_text(value),
            goal.bound,
            if met { "yes" } else { "no" },
        );
    }
    if any { text } else { String::new() }
}

/// What a goal is about; none when it was not measured.
fn value_of(goal: &Goal, rows: &Rows) -> Option<f64> {
    let row = rows.get(&goal.row)?;
    let figure = |contender: &str| {
        let runs = row.get(&(contender.to_owned(), String::new()))?;
        spread(runs.get(&goal.figure)?)
    };
    let ours = figure(&goal.ours)?;
    let ours = if goal.worst { ours.max } else { ours.median };
    match &goal.peer {
        None => Some(ours),
        Some(peer) => {
            let peer = figure(peer)?.median;
            (peer != 0.0).then(|| ours / peer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{figures, gather, goals_table, parse_goals};

    const RESULTS: &str = r#"{"row":"set","contender":"ours","figures":{"operations_per_second":300,"p50_ms":1}}
{"row":"set","contender":"redis","figures":{"operations_per_second":100,"p50_ms":2.5}}
{"row":"set","contender":"ours","figures":{"operations_per_second":200,"p50_ms":1}}
{"row":"set","contender":"ours","figures":{"operations_per_second":250,"p50_ms":1},"first_error":"no"}"#;

    #[test]
    fn runs_are_gathered_by_row_and_contender() {
        let (rows, errors) = gather(RESULTS).expect("sound results");
        assert_eq!(errors, ["set, ours: no"]);
        let text = figures(&rows);
        assert!(
            text.contains("| ours | 3 | 250 (200–300) | 1.00 |"),
            "{text}"
        );
        assert!(text.contains("| redis | 1 | 100 | 2.50 |"), "{text}");
    }

    #[test]
    fn goals_are_ratios_or_figures() {
        let (rows, _) = gather(RESULTS).expect("sound results");
        let goals = "# what is aimed at\nset ours redis operations_per_second >= 2\nset ours redis p50_ms <= 0.3\n\
            set ours - operations_per_second:max <= 300\nget ours redis p50_ms <= 1\n";
        let goals = parse_goals(goals).expect("sound goals");
        let text = goals_table(&goals, &rows);
        for line in [
            "| set | ours | redis | operations_per_second | 2.50 | ≥ 2 | yes |",
            "| set | ours | redis | p50_ms | 0.400 | ≤ 0.3 | no |",
            "| set | ours | - | operations_per_second, worst | 300 | ≤ 300 | yes |",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("get"), "{text}");
    }

    #[test]
    fn nonsense_is_named() {
        assert!(gather("{}").is_err());
        for wrong in [
            "set ours redis p50_ms < 1",
            "set ours p50_ms <= 1",
            "a b c d <= e",
        ] {
            let error = parse_goals(wrong).expect_err("no goal").to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
