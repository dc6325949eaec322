//! Pages read back as a tree: well-formed, complete, and with nothing of a hostile name become markup.

use super::super::tests::{Nothing, report};
use super::super::{Bars, Better, Series};
use super::*;
use crate::latency::{Latency, Origin};
use roxmltree::{Document, Node, ParsingOptions};

fn parsed(page: &str) -> Document<'_> {
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}\n{page}"))
}

fn with<'a>(
    document: &'a Document<'a>,
    tag: &'a str,
    class: &'a str,
) -> impl Iterator<Item = Node<'a, 'a>> {
    let nodes = document
        .descendants()
        .filter(move |node| node.has_tag_name(tag));
    nodes.filter(move |node| {
        let classes = node.attribute("class").unwrap_or_default();
        classes.split(' ').any(|it| it == class)
    })
}

fn text(node: Node<'_, '_>) -> String {
    node.descendants()
        .filter(Node::is_text)
        .filter_map(|node| node.text())
        .collect()
}

/// A report with something of everything, in which every name is `name`.
fn full(name: &str) -> Report<Nothing> {
    let (mut latency, mut lossy) = (Latency::default(), Latency::default());
    (1..=2_000).for_each(|us| latency.record(us * 1_000));
    lossy.record_many(50_000, 10);
    lossy.lose(1);
    let mut report = report();
    report.series(Series::per_second(name, "connections", [10.0, 20.0, 15.0]));
    report.series(Series::per_second(name, "bytes", [1e6, 3e9]));
    report.histogram(name, Origin::IntendedSend, &latency);
    report.histogram(format!("{name} again"), Origin::IntendedSend, &lossy);
    report.bars(
        Bars::new(name, "B", Better::Lower)
            .value(name, 4_100.0)
            .value("tokio", 4_300.0)
            .missing("gone", name),
    );
    report.command = vec!["millpond".to_owned(), name.to_owned()];
    report
}

#[test]
fn a_page_holds_what_the_report_holds() {
    let page = page(&full("echo"));
    let document = parsed(&page);
    let plots = with(&document, "figure", "plot").collect::<Vec<_>>();
    let titles = plots.iter().map(|plot| {
        let title = plot.descendants().find(|node| node.has_tag_name("h3"));
        text(title.unwrap())
    });
    let expected = ["Latency by percentile", "Echo over time", "Echo over time"];
    assert_eq!(titles.collect::<Vec<_>>(), expected);
    // Two operations, two series; the one that lost an answer ends before the end of the axis.
    let lines = with(&document, "polyline", "line").map(|line| line.attribute("points").unwrap());
    let lines = lines.collect::<Vec<_>>();
    assert_eq!(lines.len(), 4);
    assert!(
        lines[0].ends_with("1000.0,0.0") || lines[0].contains("1000.0,"),
        "{}",
        lines[0]
    );
    assert!(!lines[1].contains("1000.0,"), "{}", lines[1]);
    assert_eq!(lines[2], "333.3,500.0 666.7,0.0 1000.0,250.0");
    let whole = text(document.root());
    for said in [
        "echo has 0.95 × what tokio has",
        "4,100 B",
        "max 20 connections",
        "2.79 GiB",
        "1 never answered",
        "millpond echo",
        "good run",
        "messages",
        "connections",
    ] {
        assert!(whole.contains(said), "{said} is missing in\n{whole}");
    }
}

#[test]
fn the_pointer_reads_the_data_of_the_lines() {
    let page = page(&full("echo"));
    let document = parsed(&page);
    let plot = with(&document, "figure", "plot").nth(1).unwrap();
    let script = plot.descendants().find(|node| node.has_tag_name("script"));
    let data: serde_json::Value = serde_json::from_str(&text(script.unwrap())).unwrap();
    assert_eq!(data[0]["points"][1]["value"], "20 connections");
    assert_eq!(data[0]["points"][1]["at"], "2 s");
}

#[test]
fn a_hostile_name_stays_text() {
    let hostile = "</script></style><img src=x onerror=alert(1)>\"'&amp;\u{0}\u{202e}]]><!--";
    let mut report = full(hostile);
    report.void.push(hostile.to_owned());
    report.violations.push(hostile.to_owned());
    report.interrupted = true;
    report.machine.cpu = hostile.to_owned();
    report.program = hostile.to_owned();
    report.parameters = serde_json::json!({hostile: hostile});
    let page = page(&report);
    let (hostile, plain) = (parsed(&page), super::page(&full("echo")));
    let plain = parsed(&plain);
    let tags = |document: &Document<'_>| {
        let elements = document.descendants().filter(Node::is_element);
        let mut tags = elements
            .map(|node| node.tag_name().name().to_owned())
            .collect::<Vec<_>>();
        tags.dedup();
        tags.sort();
        tags.dedup();
        tags
    };
    assert_eq!(tags(&hostile), tags(&plain));
    assert_eq!(
        hostile
            .descendants()
            .filter(|node| node.has_tag_name("script"))
            .count(),
        4
    );
    assert!(!page.contains("<img") && !page.contains(['\u{0}', '\u{202e}']));
}

#[test]
fn a_page_asks_the_network_for_nothing() {
    let page = page(&full("echo"));
    let document = parsed(&page);
    for node in document.descendants().filter(Node::is_element) {
        for name in ["src", "href", "srcset", "action"] {
            assert_eq!(node.attribute(name), None, "{node:?}");
        }
    }
    assert!(!page.contains("url(") && !page.contains("@import") && !page.contains("http://"));
}

#[test]
fn a_report_without_plots_is_a_page_too() {
    let page = page(&report());
    let document = parsed(&page);
    assert_eq!(with(&document, "figure", "plot").count(), 0);
    assert!(text(document.root()).contains("messages7"));
}
