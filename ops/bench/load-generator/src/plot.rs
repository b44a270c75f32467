//! Plots as SVG: bars for rows, lines for curves.

use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::report::{Rows, head_figure, number_text};
use crate::statistics::spread;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 250.0;
const BAR: f64 = 18.0;
const HEIGHT: f64 = 420.0;
const MARGIN: f64 = 60.0;
/// Told apart by people who see colours differently, on light and on dark ground.
const COLOURS: [&str; 6] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9",
];

/// All plots, by name.
pub(crate) fn all(rows: &Rows) -> Vec<(String, String)> {
    let is_curve = |row: &str| rows[row].keys().any(|(_, x)| !x.is_empty());
    let mut plots = Vec::new();
    for name in rows.keys().filter(|row| is_curve(row)) {
        plots.push((name.clone(), curves(rows, name, None)));
        plots.push((format!("{name}-p99"), curves(rows, name, Some("p99_ms"))));
    }
    let bars_of: Vec<&String> = rows.keys().filter(|row| !is_curve(row)).collect();
    if !bars_of.is_empty() {
        plots.push(("rows".to_owned(), bars(rows, &bars_of)));
    }
    plots
}

/// For each row, a bar for each contender, by the figure that the row is about.
fn bars(rows: &Rows, names: &[&String]) -> String {
    let mut body = String::new();
    let mut y = 20.0;
    for name in names {
        let mut found = Vec::new();
        let mut figure = "";
        for ((contender, _), runs) in &rows[*name] {
            if let Some(head) = head_figure(runs)
                && let Some(of) = spread(&runs[head])
            {
                figure = head;
                found.push((contender, of.median));
            }
        }
        let most = found
            .iter()
            .fold(f64::MIN_POSITIVE, |most, bar| most.max(bar.1));
        let _ = writeln!(
            body,
            r#"<text x="10" y="{:.0}" font-weight="bold">{}: {}</text>"#,
            y + 13.0,
            escaped(name),
            escaped(figure)
        );
        y += BAR + 4.0;
        for (colour, (contender, value)) in COLOURS.iter().cycle().zip(found) {
            let length = (WIDTH - LEFT - 110.0) * value / most;
            let _ = writeln!(
                body,
                r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{}</text><rect x="{LEFT}" y="{y:.0}" width="{length:.1}" height="{:.0}" fill="{colour}"/><text x="{:.0}" y="{:.0}">{}</text>"#,
                LEFT - 8.0,
                y + 13.0,
                escaped(contender),
                BAR - 2.0,
                LEFT + length + 6.0,
                y + 13.0,
                number_text(value)
            );
            y += BAR;
        }
        y += 14.0;
    }
    document(y + 10.0, &body)
}

/// A contender's points of a curve, from left to right.
type Lines<'a> = IndexMap<&'a str, Vec<(f64, f64)>>;

/// One row as lines over a logarithmic x axis, by `of_figure` or else by the figure that the row is about.
fn curves(rows: &Rows, name: &str, of_figure: Option<&str>) -> String {
    let (figure, lines) = lines_of(rows, name, of_figure);
    let points = || lines.values().flatten();
    // 0 has no logarithm, and stands where 0.5 would.
    let place = |x: f64| x.max(0.5).log2();
    let first = points()
        .map(|point| place(point.0))
        .fold(f64::MAX, f64::min);
    let last = points()
        .map(|point| place(point.0))
        .fold(f64::MIN, f64::max);
    let most = points()
        .map(|point| point.1)
        .fold(f64::MIN_POSITIVE, f64::max);
    let span = (last - first).max(f64::MIN_POSITIVE);
    let across = |x: f64| MARGIN + (WIDTH - 4.0 * MARGIN) * (place(x) - first) / span;
    let up = |y: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * y / most;
    let mut body = format!(
        r#"<text x="10" y="24" font-weight="bold">{}: {}</text><path d="M{MARGIN} {MARGIN}V{:.0}H{:.0}" fill="none" stroke="currentColor"/>"#,
        escaped(name),
        escaped(figure),
        HEIGHT - MARGIN,
        WIDTH - 3.0 * MARGIN
    );
    let mut places: Vec<f64> = points().map(|point| point.0).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    for x in places {
        let below = HEIGHT - MARGIN + 20.0;
        text(&mut body, across(x), below, "middle", &x.to_string());
    }
    for y in [most, most / 2.0] {
        text(&mut body, MARGIN - 6.0, up(y) + 4.0, "end", &number_text(y));
    }
    for (colour, (contender, points)) in COLOURS.iter().cycle().zip(&lines) {
        let placed: Vec<_> = points.iter().map(|(x, y)| (across(*x), up(*y))).collect();
        line(&mut body, colour, contender, &placed);
    }
    document(HEIGHT, &body)
}

/// The figure that is plotted, and the medians of it.
fn lines_of<'a>(rows: &'a Rows, name: &str, of_figure: Option<&'a str>) -> (&'a str, Lines<'a>) {
    let mut lines = Lines::new();
    let mut figure = "";
    for ((contender, x), runs) in &rows[name] {
        if let (Ok(x), Some(head)) = (x.parse::<f64>(), of_figure.or(head_figure(runs)))
            && let Some(of) = runs.get(head).and_then(|values| spread(values))
        {
            figure = head;
            lines.entry(contender).or_default().push((x, of.median));
        }
    }
    for points in lines.values_mut() {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    (figure, lines)
}

/// A line through points that are placed already, with its name at its end.
fn line(body: &mut String, colour: &str, name: &str, points: &[(f64, f64)]) {
    let mut path = String::new();
    for (x, y) in points {
        let step = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{step}{x:.1} {y:.1}");
        let _ = writeln!(
            body,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#
        );
    }
    let end = points.last().map_or(0.0, |point| point.1);
    let _ = writeln!(
        body,
        r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#
    );
    text(
        body,
        WIDTH - 3.0 * MARGIN + 8.0,
        end + 4.0,
        "start",
        &escaped(name),
    );
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let _ = writeln!(
        body,
        r#"<text x="{x:.0}" y="{y:.0}" text-anchor="{anchor}">{content}</text>"#
    );
}

fn document(height: f64, body: &str) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<g fill="black" color="black">
{body}</g>
</svg>
"#
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::all;
    use crate::report::Rows;

    fn rows() -> Rows {
        let mut rows = Rows::new();
        for (row, contender, x, value) in [
            ("set", "ours", "", 200.0),
            ("set", "redis", "", 100.0),
            ("values", "ours", "16", 50.0),
            ("values", "ours", "1024", 25.0),
        ] {
            let key = (contender.to_owned(), x.to_owned());
            let runs = rows.entry(row.to_owned()).or_default().entry(key);
            let figure = "operations_per_second".to_owned();
            runs.or_default().entry(figure).or_default().push(value);
        }
        rows
    }

    #[test]
    fn bars_are_as_long_as_their_figures() {
        let plots = all(&rows());
        let (name, svg) = plots.last().expect("a plot");
        assert_eq!(name, "rows");
        for width in ["width=\"500.0\"", "width=\"250.0\""] {
            assert!(svg.contains(width), "{svg}");
        }
    }

    #[test]
    fn a_curve_goes_through_its_points() {
        let plots = all(&rows());
        let (name, svg) = plots.first().expect("a plot");
        assert_eq!(name, "values");
        assert!(svg.contains("d=\"M60.0 60.0L680.0 210.0\""), "{svg}");
    }
}
