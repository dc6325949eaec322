//! Latencies by percentile: the axis stretches what lies above, so that the tail has as much room as the middle.

use super::escape::Escaped;
use super::plot::{Line, Mark, Plot, Spot};
use super::scale::Scale;
use super::words;
use crate::latency::{Origin, Point};
use crate::report::Distribution;

/// One plot and one table of all operations; nothing where none was measured.
pub(super) fn html(distributions: &[Distribution]) -> String {
    let measured = distributions.iter().filter(|it| it.summary.count > 0);
    let measured = measured.collect::<Vec<_>>();
    if measured.is_empty() {
        return String::new();
    }
    let curves = || measured.iter().flat_map(|it| &it.curve);
    let deepest = curves().filter_map(nines).fold(NINES_MIN, f64::max);
    let across = Scale::Linear {
        from: 0.0,
        to: deepest,
    };
    let up = Scale::decades(curves().filter_map(|point| point.us));
    let x_marks = (0_u32..)
        .map(f64::from)
        .take_while(|nines| *nines <= deepest);
    let x_marks = x_marks.map(|nines| Mark {
        share: across.share(nines),
        label: words::percentile(1.0 - 10_f64.powf(-nines)),
    });
    let plot = Plot {
        title: "Latency by percentile",
        under: &origin(&measured),
        lines: measured.iter().map(|it| line(it, across, up)).collect(),
        x_marks: x_marks.collect(),
        y_marks: Mark::all(up, words::latency),
    };
    plot.html() + &table(&measured)
}

/// The axis reaches 99.9 % at least.
const NINES_MIN: f64 = 3.0;

/// Where a point stands: 1 for 90 %, 2 for 99 %. The maximum has no place of its own and stands at the end.
fn nines(point: &Point) -> Option<f64> {
    (point.quantile < 1.0).then(|| -(1.0 - point.quantile).log10())
}

fn line(distribution: &Distribution, across: Scale, up: Scale) -> Line {
    let curve = distribution.curve.iter();
    // The line ends where answers never came.
    let spots = curve.map_while(|point| {
        let us = point.us?;
        Some(Spot {
            x: across.share(nines(point).unwrap_or(f64::MAX)),
            y: up.share(us),
            at: words::percentile(point.quantile),
            value: words::latency(us),
        })
    });
    let summary = &distribution.summary;
    let lost = match summary.lost {
        0 => String::new(),
        lost => format!(", {lost} never answered"),
    };
    Line {
        name: distribution.name.clone(),
        legend: format!("p99 {}{lost}", or_never(summary.p99_us)),
        points: spots.collect(),
    }
}

fn or_never(us: Option<f64>) -> String {
    us.map_or_else(|| "never".to_owned(), words::latency)
}

fn origin(distributions: &[&Distribution]) -> String {
    let of = |origin| distributions.iter().any(|it| it.summary.origin == origin);
    match (of(Origin::IntendedSend), of(Origin::ActualSend)) {
        (true, false) => "From the time each message was meant to leave: waiting counts.",
        (false, true) => {
            "Closed loop: each message waits for the answer to the last, so queueing does not show."
        }
        _ => {
            "From the intended time where the load was open, from the send itself in a closed loop."
        }
    }
    .to_owned()
}

fn table(distributions: &[&Distribution]) -> String {
    let row = |it: &&Distribution| {
        let summary = &it.summary;
        let cells = [
            summary.p50_us,
            summary.p99_us,
            summary.p999_us,
            summary.max_us,
        ];
        let cells = cells.map(|us| format!("<td>{}</td>", or_never(us)));
        format!(
            "<tr><th>{}</th><td>{}</td>{}<td>{}</td></tr>",
            Escaped(&it.name),
            words::plain(summary.count as f64),
            cells.concat(),
            words::plain(summary.lost as f64)
        )
    };
    format!(
        "<details><summary>The percentiles in numbers</summary><div class=\"wide\"><table><thead><tr><th></th>\
         <th>answers</th><th>p50</th><th>p99</th><th>p99.9</th><th>max</th><th>never</th></tr></thead>\
         <tbody>{}</tbody></table></div></details>\n",
        distributions.iter().map(row).collect::<String>()
    )
}
