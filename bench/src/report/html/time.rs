//! Series over the time of the run: one plot per unit.

use super::plot::{Line, Mark, Plot, Spot};
use super::scale::Scale;
use super::words;
use crate::report::Series;

/// In the order in which the units first come.
pub(super) fn html(series: &[Series]) -> String {
    let drawn = series.iter().filter(|series| series.points().len() > 1);
    let drawn = drawn.collect::<Vec<_>>();
    let mut units = Vec::new();
    for series in &drawn {
        if !units.contains(&series.unit.as_str()) {
            units.push(&series.unit);
        }
    }
    let of = |unit: &str| {
        let of = drawn.iter().copied().filter(|it| it.unit == unit);
        of.collect::<Vec<_>>()
    };
    units.iter().map(|unit| plot(unit, &of(unit))).collect()
}

fn plot(unit: &str, series: &[&Series]) -> String {
    let points = || series.iter().flat_map(|series| series.points());
    let across = Scale::Linear {
        from: points().map(|point| point.0).fold(0.0, f64::min),
        to: points().map(|point| point.0).fold(1e-3, f64::max),
    };
    let up = Scale::from_zero(points().map(|point| point.1));
    let title = match series {
        [only] => format!("{} over time", capital(&only.name)),
        _ => format!("{} over time", capital(unit)),
    };
    let lines = series.iter().map(|series| line(series, across, up));
    Plot {
        title: &title,
        under: &format!("{}, from the start of the run", capital(unit)),
        lines: lines.collect(),
        x_marks: Mark::all(across, words::seconds),
        y_marks: Mark::all(up, |value| words::mark(value, unit)),
    }
    .html()
}

fn line(series: &Series, across: Scale, up: Scale) -> Line {
    let points = thinned(series.points());
    let spots = points.into_iter().map(|(at_s, value)| Spot {
        x: across.share(at_s),
        y: up.share(value),
        at: words::seconds(at_s),
        value: words::quantity(value, &series.unit),
    });
    let values = series.points().iter().map(|point| point.1);
    let max = values.fold(f64::MIN, f64::max);
    Line {
        name: series.name.clone(),
        legend: format!("max {}", words::quantity(max, &series.unit)),
        points: spots.collect(),
    }
}

/// Buckets of a drawn line: each shows its lowest and its highest value, so that no spike gets lost.
const BUCKETS: usize = 256;

fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= 2 * BUCKETS {
        return points.to_vec();
    }
    let by_value = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
    let ends = |bucket: &[(f64, f64)]| {
        let low = bucket.iter().min_by(by_value).copied();
        let high = bucket.iter().max_by(by_value).copied();
        let mut ends = low.into_iter().chain(high).collect::<Vec<_>>();
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        ends.dedup();
        ends
    };
    points
        .chunks(points.len().div_ceil(BUCKETS))
        .flat_map(ends)
        .collect()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_line_keeps_its_spikes() {
        let mut points = (0..10_000)
            .map(|at| (f64::from(at), 1.0))
            .collect::<Vec<_>>();
        points[4_711].1 = 99.0;
        points[4_712].1 = -3.0;
        let thin = thinned(&points);
        assert!(thin.len() <= 2 * BUCKETS, "{}", thin.len());
        assert!(thin.contains(&(4_711.0, 99.0)) && thin.contains(&(4_712.0, -3.0)));
        assert!(thin.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(thinned(&points[..5]), points[..5]);
    }
}
