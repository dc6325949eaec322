//! `millpond tune check`: the findings, for a person or as JSON, and the exit code.

use super::{Unfit, Wish, say};
use anyhow::Result;
use millpond_tuning::check::{Finding, Verdict, check, worst};
use serde_json::json;

#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    wish: Wish,
    /// The findings as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let target = arguments.wish.target();
    let findings = check(&arguments.wish.load.root(), &target);
    let worst = worst(&findings);
    if arguments.json {
        let report = json!({
            "connections": target.plan.connections,
            "worst": worst,
            "findings": findings,
        });
        say(&format!("{report:#}\n"))?;
    } else {
        say(&text(&findings, target.plan.connections))?;
    }
    Ok(Unfit::of(worst)?)
}

/// The worst first; what is fine in one line each.
fn text(findings: &[Finding], connections: u64) -> String {
    let mut text = format!("for {connections} connections\n");
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    for finding in sorted {
        let Finding { name, found, .. } = finding;
        text += &format!("{:<8} {name}: {found}\n", word(finding.verdict));
        if finding.verdict > Verdict::Fine {
            text += &format!(
                "         wanted {}: {} ({})\n",
                finding.wanted, finding.why, finding.sure
            );
        }
        if let Some(change) = &finding.change {
            text += &format!(
                "         `millpond tune apply` writes {:?} to {}\n",
                change.to, change.file
            );
        }
        if let Some(remedy) = &finding.remedy {
            text += &format!("         type: {remedy}\n");
        }
    }
    text
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotHere => "-",
        Verdict::Fine => "fine",
        Verdict::Unknown => "unknown",
        Verdict::Warning => "warning",
        Verdict::Blocker => "BLOCKER",
    }
}
