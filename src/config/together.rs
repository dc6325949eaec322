//! What two keys may not say at once. Each problem names the keys, what they say, and what would be right.

use super::Config;
use super::text::{spell_bytes, spell_duration};

pub(super) fn check(config: &Config, problems: &mut Vec<String>) {
    problems.extend(drain(config));
    problems.extend(addresses(config));
    problems.extend(windows(config));
    problems.extend(outbox(config));
    problems.extend(ring(config));
    problems.extend(share(config));
}

/// A share is whole partitions of Kafka.
fn share(config: &Config) -> Option<String> {
    let (share, partitions) = (config.cluster.share, config.cluster.kafka_partitions);
    share.partitions(partitions).is_empty().then(|| {
        format!(
            "cluster.share is {share} of {partitions} partitions (cluster.kafka_partitions), which leaves this router \
             nothing to do"
        )
    })
}

fn drain(config: &Config) -> Option<String> {
    let drained = config.drain.spread + config.gateway.drain_flush;
    (drained >= config.drain.timeout).then(|| {
        format!(
            "drain.spread and gateway.drain_flush are {} together and must be shorter than drain.timeout ({}): clients \
             that are told to wait longer would be cut off",
            spell_duration(drained),
            spell_duration(config.drain.timeout),
        )
    })
}

fn addresses(config: &Config) -> Option<String> {
    let same = config.listen == config.admin && config.listen.port() != 0;
    same.then(|| {
        format!(
            "listen and admin are both {}: give the admin address another port",
            config.listen
        )
    })
}

fn windows(config: &Config) -> Option<String> {
    let (default, max) = (
        config.gateway.inbox_window_default,
        config.gateway.inbox_window_max,
    );
    (default > max).then(|| {
        format!(
            "gateway.inbox_window_default is {default} and gateway.inbox_window_max is {max}: nobody gets more than \
             the most; write for example: --set gateway.inbox_window_max={default}"
        )
    })
}

/// All that may come at once for a client whose outbox still has room: a page, a record, its histories.
fn outbox(config: &Config) -> Option<String> {
    const LARGEST_FRAME_BYTES: u64 = 64 << 10;
    let limits = &config.gateway;
    let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let (room, max) = (
        bytes(limits.outbox_room_bytes),
        bytes(limits.outbox_bytes_max),
    );
    let at_once = (u64::from(limits.histories_max) + 2) * LARGEST_FRAME_BYTES;
    let needed = room.saturating_add(at_once);
    (needed > max).then(|| {
        format!(
            "gateway.outbox_bytes_max is {}, but gateway.outbox_room_bytes is {} and what may come at once for \
             gateway.histories_max ({}) takes {} more; raise the first to {} or lower the others",
            spell_bytes(max),
            spell_bytes(room),
            limits.histories_max,
            spell_bytes(at_once),
            spell_bytes(needed),
        )
    })
}

fn ring(config: &Config) -> Option<String> {
    let (entries, completions) = (config.gateway.ring_entries, config.gateway.ring_completions);
    (completions < entries).then(|| {
        format!(
            "gateway.ring_completions is {completions} and gateway.ring_entries is {entries}: the kernel must be able \
             to complete all it was handed; write for example: --set gateway.ring_completions={}",
            entries.saturating_mul(2),
        )
    })
}
