//! Queues of network cards, and how their packets reach the cores. Virtual interfaces (lo, bridges) have no say.

use super::Finding;
use super::Verdict::{NotHere, Unknown, Warning};
use crate::Sure::RuleOfThumb;
use crate::root::{Root, Why, malformed};
use std::fs;

const FOLDER: &str = "/sys/class/net";
/// Masks are groups of 32 bits; a machine with more cores than this is not judged.
const CORES_MAX: usize = 1_024;

pub(super) fn findings(root: &Root) -> Vec<Finding> {
    let why =
        "with fewer receive queues than cores one core does all receiving, unless RPS spreads it";
    let finding =
        |name: &str| Finding::new(name, why, RuleOfThumb).wants("a queue for each core, or RPS");
    let cards = names(root, FOLDER).map(|names| {
        let cards = names.into_iter();
        let real = |name: &String| root.path(&format!("{FOLDER}/{name}/device")).exists();
        cards.filter(real).collect::<Vec<_>>()
    });
    match (cards, cores(root)) {
        (Err(why), _) => vec![finding("network cards").is(Unknown, format!("{FOLDER}: {why}"))],
        (_, None) => {
            let found = "/sys/devices/system/cpu/online: not a range of cores";
            vec![finding("network cards").is(Unknown, found)]
        }
        (Ok(cards), _) if cards.is_empty() => {
            vec![finding("network cards").is(NotHere, "no card of its own")]
        }
        (Ok(cards), Some(cores)) => cards
            .iter()
            .flat_map(|card| {
                [
                    receiving(root, card, cores, &finding),
                    sending(root, card, cores),
                ]
            })
            .collect(),
    }
}

/// Judged by the first queue whose packets stay on one core.
fn receiving(root: &Root, card: &str, cores: usize, finding: &dyn Fn(&str) -> Finding) -> Finding {
    let finding = finding(&format!("receive queues of {card}"));
    let folder = format!("{FOLDER}/{card}/queues");
    let queues = match queues(root, &folder, "rx-") {
        Ok(queues) => queues,
        Err(why) => return finding.is(Unknown, format!("{folder}: {why}")),
    };
    let found = format!("{} for {cores} cores", queues.len());
    if queues.len() >= cores {
        return finding.is(super::Verdict::Fine, found);
    }
    for queue in &queues {
        let file = format!("{folder}/{queue}/rps_cpus");
        let mask = root.text(&file);
        let mask = mask.and_then(|mask| match is_mask(&mask) {
            true => Ok(mask),
            false => Err(malformed(&file, "a mask of cores", &mask)),
        });
        match mask {
            Ok(mask) if is_no_core(&mask) => {
                return finding
                    .is(Warning, format!("{found}, RPS off on {queue}"))
                    .or_write(&file, &mask, &all_cores(cores));
            }
            Ok(_) => {}
            Err(unknown) => return finding.unknown(&unknown),
        }
    }
    finding.is(super::Verdict::Fine, format!("{found}, RPS on"))
}

/// The kernel maps transmit queues to cores by itself; nothing is written.
fn sending(root: &Root, card: &str, cores: usize) -> Finding {
    let why = "with fewer transmit queues than cores they share locks; XPS maps cores to queues";
    let finding = Finding::new(&format!("transmit queues of {card}"), why, RuleOfThumb)
        .wants("a queue for each core");
    let folder = format!("{FOLDER}/{card}/queues");
    match queues(root, &folder, "tx-") {
        Ok(queues) => finding
            .judged(
                queues.len() >= cores,
                Warning,
                format!("{} for {cores} cores", queues.len()),
            )
            .or_type(format!(
                "ethtool -L {card} combined {cores}, if the card has them"
            )),
        Err(why) => finding.is(Unknown, format!("{folder}: {why}")),
    }
}

fn queues(root: &Root, folder: &str, prefix: &str) -> Result<Vec<String>, Why> {
    let mut queues = names(root, folder)?;
    queues.retain(|name| name.starts_with(prefix));
    match queues.is_empty() {
        true => Err(Why::Malformed(format!("no {prefix} queue"))),
        false => Ok(queues),
    }
}

/// Names in a folder, in order.
fn names(root: &Root, folder: &str) -> Result<Vec<String>, Why> {
    let entries = fs::read_dir(root.path(folder)).map_err(|error| Why::of(&error))?;
    let names: Result<Vec<String>, _> = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect();
    let mut names = names.map_err(|error| Why::of(&error))?;
    names.sort();
    Ok(names)
}

/// Cores that are on, from a list such as `0-3,8`.
fn cores(root: &Root) -> Option<usize> {
    let text = root.text("/sys/devices/system/cpu/online").ok()?;
    let mut cores = 0_usize;
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        cores = cores.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    (cores <= CORES_MAX).then_some(cores)
}

/// Hexadecimal digits, in groups.
fn is_mask(text: &str) -> bool {
    let mut groups = text.split(',');
    groups.all(|group| {
        (1..=8).contains(&group.len()) && group.bytes().all(|it| it.is_ascii_hexdigit())
    })
}

fn is_no_core(mask: &str) -> bool {
    mask.chars().all(|letter| matches!(letter, '0' | ','))
}

/// As the kernel writes it: groups of 32 bits, the highest first.
fn all_cores(cores: usize) -> String {
    let full = cores / 32;
    let mut groups = vec!["ffffffff".to_owned(); full];
    if !cores.is_multiple_of(32) {
        groups.insert(0, format!("{:x}", (1_u64 << (cores % 32)) - 1));
    }
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_the_kernels() {
        let written: Vec<String> = [1, 2, 32, 33, 64].into_iter().map(all_cores).collect();
        assert_eq!(
            written,
            ["1", "3", "ffffffff", "1,ffffffff", "ffffffff,ffffffff"]
        );
        assert!(
            written
                .iter()
                .all(|mask| is_mask(mask) && !is_no_core(mask))
        );
        assert!(is_mask("00000000,00000000") && is_no_core("00000000,00000000"));
        for text in ["", ",", "x", "123456789", "1, 2"] {
            assert!(!is_mask(text), "{text}");
        }
    }
}
