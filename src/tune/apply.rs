//! `millpond tune apply` and `revert`: the difference, the question, and what came of it.

use super::{Wish, say};
use anyhow::{Result, bail};
use millpond_tuning::Root;
use millpond_tuning::apply::{
    STATE_FILE, SYSCTL_FILE, applied, apply, changes, is_sysctl, revert as put_back,
};
use millpond_tuning::check::{Change, Finding, check};
use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    wish: Wish,
    /// Also write /etc/sysctl.d/90-millpond.conf, so that sysctls outlast a boot
    #[arg(long)]
    persist: bool,
    /// Only parameters of these names, as `check` prints them; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    #[command(flatten)]
    consent: Consent,
}

#[derive(clap::Args, Debug)]
pub(super) struct RevertArguments {
    #[command(flatten)]
    consent: Consent,
    /// Where proc, sys and etc are; for tests
    #[arg(long, hide = true, default_value = "/")]
    root: PathBuf,
}

#[derive(clap::Args, Debug)]
struct Consent {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Where the old values are kept
    #[arg(long, value_name = "FILE", default_value = STATE_FILE, value_parser = absolute)]
    state: String,
}

fn absolute(file: &str) -> Result<String, String> {
    let wanted = || format!("wanted an absolute path, found {file:?}");
    file.starts_with('/')
        .then(|| file.to_owned())
        .ok_or_else(wanted)
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let root = arguments.wish.load.root();
    let mut findings = check(&root, &arguments.wish.target());
    if !arguments.only.is_empty() {
        let known = |name: &String| findings.iter().any(|finding| finding.name == *name);
        if let Some(name) = arguments.only.iter().find(|name| !known(name)) {
            bail!("there is no parameter {name:?}; `millpond tune check` prints all names");
        }
        findings.retain(|finding| arguments.only.contains(&finding.name));
    }
    let changes = changes(&findings);
    if changes.is_empty() {
        return say("nothing to write\n");
    }
    say(&difference(&findings))?;
    if arguments.persist {
        say(&format!("and the sysctls to {SYSCTL_FILE}\n"))?;
    }
    arguments.consent.ask()?;
    apply(&root, &arguments.consent.state, &changes, arguments.persist)?;
    say(&format!(
        "{} written; `millpond tune revert` puts the old values back\n",
        changes.len()
    ))?;
    say(&lasting(&changes, arguments.persist))
}

fn difference(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        if let Some(Change { file, from, to }) = &finding.change {
            text += &format!(
                "{}: {}\n  {file}\n- {from}\n+ {to}\n",
                finding.name, finding.why
            );
        }
    }
    text
}

/// What the next boot forgets.
fn lasting(changes: &[Change], persist: bool) -> String {
    let forgotten = changes
        .iter()
        .filter(|change| !persist || !is_sysctl(change));
    let files: Vec<&str> = forgotten.map(|change| change.file.as_str()).collect();
    match files.is_empty() {
        true => String::new(),
        false => format!("the next boot forgets: {}\n", files.join(", ")),
    }
}

pub(super) fn revert(arguments: &RevertArguments) -> Result<()> {
    let root = Root::at(&arguments.root);
    let mut text = String::new();
    for Change { file, from, to } in applied(&root, &arguments.consent.state)? {
        text += &format!("{file}\n- {to}\n+ {from}\n");
    }
    say(&text)?;
    arguments.consent.ask()?;
    let reverted = put_back(&root, &arguments.consent.state)?;
    let mut text = format!("{} put back\n", reverted.restored.len());
    for Change { file, .. } in &reverted.left {
        text += &format!("{file}: somebody has changed it since; left alone\n");
    }
    say(&text)
}

impl Consent {
    /// Only the word itself is a yes; without a terminal nobody can say it.
    fn ask(&self) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            bail!("nobody can be asked here: say --yes; nothing was changed");
        }
        say("write this? (yes/no) ")?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if answer.trim() != "yes" {
            bail!("nothing was changed");
        }
        Ok(())
    }
}
