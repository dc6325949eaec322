//! How far a run is: a bar on a terminal, a plain line every few seconds elsewhere. Writes to standard error only.

use crate::clock::SECOND_NS;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    unit: &'static str,
    /// The bar shows counts, not time.
    counts: bool,
    bar: Option<ProgressBar>,
    shown_ns: u64,
    shown_answered: u64,
}

/// Drawing costs the generator time: seldom.
const BAR_EVERY_NS: u64 = SECOND_NS / 4;
const LINE_EVERY_NS: u64 = 5 * SECOND_NS;
const BARS_PER_SECOND: u8 = 4;

impl Progress {
    /// Of a phase that lasts `seconds`.
    pub(crate) fn new(what: &str, seconds: u64) -> Self {
        let bar = bar(what, seconds * 1000);
        if bar.is_none() && !what.is_empty() {
            eprintln!("{what}: {seconds} s");
        }
        Self::of(what, "messages", false, bar)
    }

    /// Of a phase that lasts until there are `total` of something.
    pub(crate) fn counted(what: &str, total: u64, unit: &'static str) -> Self {
        Self::of(what, unit, true, bar(what, total))
    }

    fn of(what: &str, unit: &'static str, counts: bool, bar: Option<ProgressBar>) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            counts,
            bar,
            shown_ns: 0,
            shown_answered: 0,
        }
    }

    /// Says nothing, ever.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self::of("", "messages", false, None)
    }

    pub(crate) fn show(&mut self, elapsed_ns: u64, answered: u64) {
        let every_ns = if self.bar.is_some() {
            BAR_EVERY_NS
        } else {
            LINE_EVERY_NS
        };
        if elapsed_ns < self.shown_ns + every_ns || self.what.is_empty() {
            return;
        }
        let passed = (elapsed_ns - self.shown_ns) as f64 / SECOND_NS as f64;
        let rate = answered.saturating_sub(self.shown_answered) as f64 / passed;
        (self.shown_ns, self.shown_answered) = (elapsed_ns, answered);
        let unit = self.unit;
        match &self.bar {
            Some(bar) => {
                let position = if self.counts {
                    answered
                } else {
                    elapsed_ns / 1_000_000
                };
                bar.set_position(position);
                bar.set_message(format!("{rate:.0} {unit}/s"));
            }
            None => eprintln!(
                "{}: {} s, {answered} {unit}, {rate:.0}/s",
                self.what,
                elapsed_ns / SECOND_NS
            ),
        }
    }
}

fn bar(what: &str, length: u64) -> Option<ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let target = ProgressDrawTarget::stderr_with_hz(BARS_PER_SECOND);
        let bar = ProgressBar::with_draw_target(Some(length), target);
        bar.set_style(style());
        bar.set_prefix(what.to_owned());
        bar
    })
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>24} [{bar:30}] {eta:>4} {msg}")
        .expect("the template is valid")
        .progress_chars("=> ")
}
