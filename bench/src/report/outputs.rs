//! Where a report goes: the terminal, and the files that were asked for.

use super::{Figures, Report, Verdict, hlog, html};
use crate::args::Output;
use crate::talk::unix_ms;
use anyhow::Context;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

impl<F: Figures> Report<F> {
    /// To the terminal, and to the files that were asked for.
    pub fn publish(&self, output: &Output) -> anyhow::Result<Verdict> {
        let text = self.text();
        let json = serde_json::to_string_pretty(self).context("a report is plain data")?;
        std::io::stdout().lock().write_all(text.as_bytes())?;
        if let Some(file) = &output.json {
            write(file, &json)?;
        }
        if let Some(file) = &output.hdr {
            write(file, self.hlog()?)?;
        }
        if let Some(file) = &output.html {
            write(file, html::page(self))?;
        }
        if let Some(folder) = &output.run_dir {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
            write(&folder.join("report.json"), &json)?;
            write(&folder.join("report.txt"), &text)?;
            write(&folder.join("report.html"), html::page(self))?;
            write(&folder.join("command.txt"), self.command.join(" ") + "\n")?;
            let machine = serde_json::to_string_pretty(&self.machine)?;
            write(&folder.join("machine.json"), machine)?;
            if !self.histograms.is_empty() {
                write(&folder.join("latency.hlog"), self.hlog()?)?;
            }
        }
        Ok(self.verdict())
    }

    fn hlog(&self) -> anyhow::Result<Vec<u8>> {
        let lasted_ms = unix_ms().saturating_sub(self.started_unix_ms);
        let lasted = Duration::from_millis(lasted_ms);
        hlog::log(&self.histograms, self.started_unix_ms, lasted)
    }
}

fn write(file: &Path, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::latency::{Latency, Origin};

    #[test]
    fn a_run_folder_holds_everything() {
        let folder = tempfile::tempdir().unwrap();
        let output = Output {
            html: Some(folder.path().join("asked.html")),
            hdr: Some(folder.path().join("asked.hlog")),
            run_dir: Some(folder.path().join("deep/run")),
            ..Output::default()
        };
        let mut report = report();
        report.histogram("echo", Origin::IntendedSend, &Latency::default());
        report.publish(&output).unwrap();
        assert!(folder.path().join("asked.hlog").is_file());
        assert!(folder.path().join("asked.html").is_file());
        for name in [
            "report.json",
            "report.txt",
            "report.html",
            "latency.hlog",
            "command.txt",
            "machine.json",
        ] {
            assert!(
                folder.path().join("deep/run").join(name).is_file(),
                "{name}"
            );
        }
    }
}
