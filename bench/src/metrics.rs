//! A server's own counters, read from its admin address in the text form of Prometheus.

use anyhow::{Context, ensure};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    lines: Vec<(String, f64)>,
}

const WAIT: Duration = Duration::from_secs(5);
const BYTES_MAX: u64 = 4 * 1024 * 1024;

impl Metrics {
    pub(crate) fn read(admin: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&admin, WAIT)
            .with_context(|| format!("connecting to the admin address {admin}"))?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_write_timeout(Some(WAIT))?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream
            .take(BYTES_MAX)
            .read_to_string(&mut answer)
            .context("reading metrics")?;
        ensure!(
            answer.starts_with("HTTP/1.1 200"),
            "the admin address answered {:.60}",
            answer
        );
        Ok(Self::parse(&answer))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            let name = name.split('{').next().unwrap_or(name);
            Some((name.to_owned(), value.trim().parse().ok()?))
        });
        Self {
            lines: lines.collect(),
        }
    }

    /// The sum over all label values; `None` when there is no such counter.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        let values = self.lines.iter().filter(|(named, _)| named == name);
        values
            .map(|(_, value)| *value)
            .reduce(|sum, value| sum + value)
    }

    /// How much a counter grew since `before`.
    pub(crate) fn growth(&self, before: &Self, name: &str) -> Option<f64> {
        Some(self.sum(name)? - before.sum(name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_summed_and_missing_counters_stay_missing() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# HELP x y\nmillpond_rows_total{stage=\"a\"} 3\nmillpond_rows_total{stage=\"b\"} 4\nmillpond_other 1\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("millpond_rows_total"), Some(7.0));
        assert_eq!(metrics.sum("millpond_rows"), None);
        assert_eq!(metrics.growth(&Metrics::parse(""), "millpond_other"), None);
    }
}
