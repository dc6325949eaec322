//! Sizes as people write them.

/// `64G`, `512MiB`, `1073741824`: whole numbers, powers of 1,024.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    const UNITS: [&str; 5] = ["", "K", "M", "G", "T"];
    let wanted = || format!("wanted a size such as 64G or 512M (powers of 1024), found {text:?}");
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| wanted())?;
    let unit = unit.trim().to_uppercase();
    let unit = unit.trim_end_matches('B').trim_end_matches('I');
    let power = UNITS.iter().position(|it| *it == unit).ok_or_else(wanted)?;
    number
        .checked_mul(1 << (10 * power))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(wanted)
}

/// In the largest unit that keeps three digits before the point.
pub(super) fn shown(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    let tenths = u128::from(bytes) * 10 / (1 << (10 * unit));
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes) in [
            ("64G", 64 << 30),
            ("512MiB", 512 << 20),
            ("7 kb", 7 << 10),
            ("9", 9),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "0", "-1", "1.5G", "64X", "99999999999T", "64GG"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(shown(1 << 30), "1.0 GiB");
        assert_eq!(shown(1_023), "1023 B");
        assert_eq!(shown(u64::MAX), "16383.9 PiB");
    }
}
