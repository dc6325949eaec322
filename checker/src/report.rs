//! The judgement, for a person to read.

use std::collections::BTreeMap;
use std::fmt;

/// Violations kept in full; all are counted.
const VIOLATIONS_KEPT_MAX: usize = 50;

/// What a history can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An acknowledged message is not in the history of its conversation.
    LostFromHistory,
    /// A stored message did not reach the inbox of a member that has caught up.
    LostFromInbox,
    /// A device that has caught up is behind another one of its user.
    DeviceBehind,
    /// One client message id has two sequences.
    TwoSequences,
    /// One sequence has two messages.
    TwoMessages,
    /// A message stands in its conversation more often than it was sent.
    Doubled,
    /// The body is not what was sent.
    Altered,
    /// The conversation's history has a hole.
    HistoryGap,
    /// A conversation's messages came to an inbox with a hole, or out of order.
    ConversationGap,
    /// A device got a cursor that does not follow its last one.
    CursorGap,
    /// A device got a cursor twice in one epoch.
    CursorTwice,
    /// A reset moved a device past records that it was never shown.
    ResetSkips,
    /// A device was given another epoch without a reset.
    EpochWithoutReset,
    /// One cursor shows different messages to two devices, or to one at two times.
    InboxesDiffer,
    /// The order of a sender's messages is not that of their ids.
    SenderOrder,
    /// Somebody was shown a conversation that is not theirs.
    NotAMember,
    /// A message was acknowledged and refused.
    TwoOutcomes,
    /// An answer to something that was never sent.
    Unsent,
    /// A device used one client message id for two messages.
    IdReused,
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    /// In one sentence.
    pub what: String,
    /// What led to it, in the order of time.
    pub timeline: Vec<String>,
}

/// How much was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub operations: u64,
    pub sent: u64,
    pub acked: u64,
    pub refused: u64,
    pub delivered: u64,
    pub resets: u64,
    pub history: u64,
    pub conversations: u64,
    /// Conversations whose history was not read: a loss there could not be seen.
    pub conversations_unread: u64,
    pub devices: u64,
    /// Devices that were not followed to their end.
    pub devices_unfollowed: u64,
    /// Sent, and neither acknowledged nor refused.
    pub unanswered: u64,
}

/// The judgement of a whole history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub counts: Counts,
    /// At most 50.
    pub violations: Vec<Violation>,
    pub violations_by_rule: BTreeMap<Rule, u64>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.violations_by_rule.is_empty()
    }

    /// All violations, kept or not.
    pub fn violations_total(&self) -> u64 {
        self.violations_by_rule.values().sum()
    }

    /// # Panics
    /// With the whole report when anything is wrong.
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }

    pub(crate) fn add(&mut self, rule: Rule, tell: impl FnOnce() -> (String, Vec<String>)) {
        *self.violations_by_rule.entry(rule).or_default() += 1;
        if self.violations.len() < VIOLATIONS_KEPT_MAX {
            let (what, timeline) = tell();
            self.violations.push(Violation {
                rule,
                what,
                timeline,
            });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            operations,
            sent,
            acked,
            refused,
            delivered,
            resets,
            history,
            conversations,
            conversations_unread,
            devices,
            devices_unfollowed,
            unanswered,
        } = self.counts;
        writeln!(
            f,
            "{operations} operations: {sent} sent, {acked} acknowledged, {refused} refused, {unanswered} unanswered; \
             {delivered} delivered, {resets} resets; {history} read in history"
        )?;
        writeln!(
            f,
            "{conversations} conversations ({conversations_unread} not read), {devices} devices \
             ({devices_unfollowed} not followed to the end)"
        )?;
        if self.is_clean() {
            return write!(f, "nothing is wrong");
        }
        for (rule, count) in &self.violations_by_rule {
            writeln!(f, "{count} × {rule:?}")?;
        }
        for violation in &self.violations {
            writeln!(f, "\n{:?}: {}", violation.rule, violation.what)?;
            for step in &violation.timeline {
                writeln!(f, "    {step}")?;
            }
        }
        let left_out = self.violations_total() - self.violations.len() as u64;
        write!(f, "\n{left_out} more not shown")
    }
}
