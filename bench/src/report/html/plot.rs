//! Lines in a frame with axes. The lines are SVG stretched to the frame's size; everything with letters is HTML beside
//! it, so that it stays readable on a narrow screen. Works without scripts; with them, a pointer reads values.

use super::escape::{Escaped, json};
use super::scale::Scale;
use serde::Serialize;

/// Everything about one plot.
#[derive(Debug)]
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    pub(super) under: &'a str,
    pub(super) lines: Vec<Line>,
    pub(super) x_marks: Vec<Mark>,
    pub(super) y_marks: Vec<Mark>,
}

/// A value of an axis that is written beside it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Mark {
    pub(super) share: f64,
    pub(super) label: String,
}

impl Mark {
    pub(super) fn all(scale: Scale, label: impl Fn(f64) -> String) -> Vec<Self> {
        let marks = scale.marks().into_iter();
        let mark = |value| Self {
            share: scale.share(value),
            label: label(value),
        };
        marks.map(mark).collect()
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    /// The figures that the legend shows behind the name.
    #[serde(skip)]
    pub(super) legend: String,
    pub(super) points: Vec<Spot>,
}

/// A point in shares of both axes, and what the pointer reads there.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Spot {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) at: String,
    pub(super) value: String,
}

/// Lines have one of so many colours; beyond, they are broken.
const COLOURS: usize = 6;

impl Plot<'_> {
    pub(super) fn html(&self) -> String {
        format!(
            "<figure class=\"plot\"><figcaption><h3>{}</h3><p>{}</p></figcaption>{}\
             <div class=\"frame\"><div class=\"y\">{}</div><div class=\"area\">{}</div>\
             <div class=\"x\">{}</div></div><script type=\"application/json\">{}</script></figure>\n",
            Escaped(self.title),
            Escaped(self.under),
            self.legend(),
            labels(&self.y_marks, "bottom"),
            self.drawing(),
            labels(&self.x_marks, "left"),
            json(&self.lines),
        )
    }

    fn legend(&self) -> String {
        let entry = |(nth, line): (usize, &Line)| {
            format!(
                "<li><i class=\"{}\"></i>{} <b>{}</b></li>",
                class(nth),
                Escaped(&line.name),
                Escaped(&line.legend)
            )
        };
        let entries = self.lines.iter().enumerate().map(entry);
        format!("<ul class=\"legend\">{}</ul>", entries.collect::<String>())
    }

    fn drawing(&self) -> String {
        let grid = self.y_marks.iter().map(|mark| {
            let y = down(mark.share);
            format!("<line class=\"grid\" x1=\"0\" x2=\"1000\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")
        });
        let lines = self.lines.iter().enumerate().map(|(nth, line)| {
            let points = line.points.iter();
            let points = points.map(|spot| format!("{:.1},{:.1} ", spot.x * 1000.0, down(spot.y)));
            format!(
                "<polyline class=\"line {}\" points=\"{}\"/>",
                class(nth),
                points.collect::<String>().trim_end()
            )
        });
        format!(
            "<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">{}</svg>",
            Escaped(self.title),
            grid.chain(lines).collect::<String>()
        )
    }
}

fn down(share: f64) -> f64 {
    1000.0 - share * 1000.0
}

/// From here on a label would stick out of the page.
const END: f64 = 0.96;

fn labels(marks: &[Mark], side: &str) -> String {
    let label = |mark: &Mark| {
        let (share, label) = (mark.share * 100.0, Escaped(&mark.label));
        let class = if mark.share > END { "end" } else { "mark" };
        format!("<span class=\"{class}\" style=\"{side}:{share:.2}%\">{label}</span>")
    };
    marks.iter().map(label).collect()
}

fn class(nth: usize) -> String {
    let colour = nth % COLOURS + 1;
    match nth < COLOURS {
        true => format!("c{colour}"),
        false => format!("c{colour} broken"),
    }
}
