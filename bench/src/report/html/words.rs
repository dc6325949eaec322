//! Numbers, sizes, times and dates as a person reads them.

use crate::report::table::number;

/// With its unit: bytes in the binary steps, everything else as it is.
pub(super) fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "bytes" => bytes(value),
        _ => format!("{} {unit}", plain(value)),
    }
}

/// On an axis, where the unit stands in the title.
pub(super) fn mark(value: f64, unit: &str) -> String {
    match unit {
        "bytes" => bytes(value),
        _ if value.abs() >= 1e6 => format!("{} M", trimmed(value / 1e6)),
        _ if value.abs() >= 1e4 => format!("{} k", trimmed(value / 1e3)),
        _ => trimmed(value),
    }
}

pub(super) fn plain(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1000.0 {
        return format!("{value:.0}");
    }
    number(Some(value))
}

fn bytes(value: f64) -> String {
    let steps = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = value;
    let mut nth = 0;
    while value.abs() >= 1024.0 && nth + 1 < steps.len() {
        value /= 1024.0;
        nth += 1;
    }
    format!("{} {}", trimmed(value), steps[nth])
}

/// Microseconds, as µs, ms or s.
pub(super) fn latency(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", trimmed(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", trimmed(us / 1e3)),
        us => format!("{} µs", trimmed(us)),
    }
}

/// Three digits, or all of them before the point; no zeros at the end.
fn trimmed(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// As `p50` or `p99.9`; the last of all is the maximum.
pub(super) fn percentile(quantile: f64) -> String {
    if quantile >= 1.0 {
        return "max".to_owned();
    }
    // As many digits behind the point as there are nines.
    let above = 1.0 - quantile;
    let digits = (0..PERCENT_DIGITS_MAX)
        .find(|&digits| above * 10_f64.powf(2.01) >= 10_f64.powf(-(digits as f64)));
    let digits = digits.unwrap_or(PERCENT_DIGITS_MAX);
    format!("p{:.digits$}", quantile * 100.0)
}

const PERCENT_DIGITS_MAX: usize = 8;

/// Seconds of a run, as `12 s` or `3 min 20 s`.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 120.0 {
        return format!("{} s", trimmed(seconds));
    }
    let (minutes, rest) = ((seconds / 60.0).floor(), (seconds % 60.0).floor());
    match rest > 0.0 {
        true => format!("{minutes:.0} min {rest:.0} s"),
        false => format!("{minutes:.0} min"),
    }
}

/// A moment in UTC, to the minute.
pub(super) fn date(unix_ms: u64) -> String {
    let minutes = unix_ms / 60_000;
    let (days, minute) = (minutes / (24 * 60), minutes % (24 * 60));
    let (year, month, day) = civil(days);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02} UTC",
        minute / 60,
        minute % 60
    )
}

/// Year, month and day of a day since 1970, by counting from the first of March in eras of 400 years.
/// See <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, day - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(quantity(1536.0, "bytes"), "1.5 KiB");
        assert_eq!(quantity(3.0, "connections"), "3 connections");
        assert_eq!(quantity(12_345.6, "B"), "12,346 B");
        assert_eq!(mark(1_000_000.0, "connections"), "1 M");
        assert_eq!(mark(0.25, "calls"), "0.25");
        assert_eq!(latency(0.5), "0.5 µs");
        assert_eq!(latency(12_345.0), "12.3 ms");
        assert_eq!(latency(1e6), "1 s");
        assert_eq!(
            (seconds(90.0), seconds(200.0), seconds(180.0)),
            ("90 s".into(), "3 min 20 s".into(), "3 min".into())
        );
    }

    #[test]
    fn percentiles_have_as_many_digits_as_nines() {
        let names = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0].map(percentile);
        assert_eq!(names, ["p0", "p50", "p90", "p99", "p99.9", "p99.99", "max"]);
    }

    #[test]
    fn dates_know_leap_years() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_424_769_568), "2026-11-23 09:06 UTC");
    }
}
