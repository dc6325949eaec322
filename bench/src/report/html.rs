//! A report as one HTML page: plots, figures, machine and command. It loads nothing, so it can be mailed, committed and
//! opened anywhere; it is well-formed XML too, which the tests read it as.

mod comparison;
mod escape;
mod percentiles;
mod plot;
mod scale;
mod time;
mod words;

use super::{Figures, Report, Table, Verdict};
use crate::machine::Machine;
use escape::Escaped;

/// The whole page.
pub(super) fn page<F: Figures>(report: &Report<F>) -> String {
    let title = format!("{} · {}", report.scenario, report.program);
    let parts = [
        head(&title),
        intro(report),
        notes(report),
        comparison::html(&report.bars),
        percentiles::html(&report.histograms),
        time::html(&report.series),
        figures(&report.figures.table()),
        how(report),
    ];
    let script = format!("<script>//<![CDATA[\n{SCRIPT}//]]></script>");
    format!("{}</main>{script}</body></html>\n", parts.concat())
}

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// The policy forbids every request, whatever a later change may add.
fn head(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>\
         <meta name=\"color-scheme\" content=\"light dark\"/>\
         <title>{}</title><style>{STYLE}</style></head><body><main>\n",
        Escaped(title)
    )
}

fn intro<F: Figures>(report: &Report<F>) -> String {
    let (class, word) = match report.verdict() {
        Verdict::Good => ("good", "good run"),
        Verdict::Void if report.interrupted => ("void", "interrupted"),
        Verdict::Void => ("void", "void"),
        Verdict::Violated => ("violated", "violated"),
    };
    format!(
        "<header><p class=\"over\">millpond bench</p><h1>{} <span class=\"verdict {class}\">{word}</span></h1>\
         <p>{} · {} · {}</p></header>\n",
        Escaped(report.scenario),
        Escaped(&report.program),
        words::date(report.started_unix_ms),
        Escaped(&on(&report.machine)),
    )
}

fn on(machine: &Machine) -> String {
    format!(
        "{}, {} cores, {:.1} GiB, Linux {}",
        machine.cpu,
        machine.cores,
        machine.memory_kib as f64 / (1024.0 * 1024.0),
        machine.kernel
    )
}

/// What must be known before any figure is read.
fn notes<F: Figures>(report: &Report<F>) -> String {
    let interrupted = "It was ended early: these are the figures of what there was.".to_owned();
    let all = [
        ("void", "These figures must not be used", &report.void),
        ("violated", "The server did wrong", &report.violations),
        (
            "void",
            "Interrupted",
            &Vec::from_iter(report.interrupted.then_some(interrupted)),
        ),
    ];
    let shown = all.iter().filter(|(_, _, notes)| !notes.is_empty());
    let shown = shown.map(|(class, title, notes)| {
        let items = notes
            .iter()
            .map(|note| format!("<li>{}</li>", Escaped(note)));
        format!(
            "<section class=\"note {class}\"><h2>{title}</h2><ul>{}</ul></section>\n",
            items.collect::<String>()
        )
    });
    shown.collect()
}

/// Rows as the terminal shows them: one without a name for its first column heads the table, one of a single cell spans it.
fn figures(table: &Table) -> String {
    let columns = table.rows().iter().map(Vec::len).max().unwrap_or(1);
    let row = |(nth, cells): (usize, &Vec<String>)| match &cells[..] {
        [only] => format!("<tr><td colspan=\"{columns}\">{}</td></tr>", Escaped(only)),
        [first, rest @ ..] => {
            let tag = if nth == 0 && first.is_empty() {
                "th"
            } else {
                "td"
            };
            let rest = rest
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", Escaped(cell)));
            format!(
                "<tr><th>{}</th>{}</tr>",
                Escaped(first),
                rest.collect::<String>()
            )
        }
        [] => String::new(),
    };
    format!(
        "<section><h2>All figures</h2><div class=\"wide\"><table><tbody>{}</tbody></table></div></section>\n",
        table.rows().iter().enumerate().map(row).collect::<String>()
    )
}

/// Enough to do it again.
fn how<F: Figures>(report: &Report<F>) -> String {
    let parameters = report.parameters.as_object().into_iter().flatten();
    let parameters = parameters.map(|(name, value)| {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        format!(
            "<tr><th>{}</th><td>{}</td></tr>",
            Escaped(name),
            Escaped(&value)
        )
    });
    format!(
        "<section><h2>How it was made</h2><pre>{}</pre><details><summary>Every parameter</summary>\
         <div class=\"wide\"><table><tbody>{}</tbody></table></div></details></section>\n",
        Escaped(&report.command.join(" ")),
        parameters.collect::<String>()
    )
}

#[cfg(test)]
mod tests;
