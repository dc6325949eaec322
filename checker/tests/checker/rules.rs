//! For each rule a history that breaks it, and no other.

use crate::good::judge;
use millpond_checker::{Conversation, Operation, Rule};

const CONVERSATION: Conversation = Conversation::Direct(7, 9);
const DEVICE: u64 = 1;

fn sent(id: u64, payload: u64) -> Operation {
    let (user, device, conversation, at) = (7, DEVICE, CONVERSATION, 0);
    Operation::Sent {
        user,
        device,
        id,
        conversation,
        payload,
        at,
    }
}

fn acked(id: u64, seq: u64) -> Operation {
    let (user, device, at) = (7, DEVICE, 1);
    Operation::Acked {
        user,
        device,
        id,
        seq,
        at,
    }
}

/// To user 9.
fn shown(device: u64, epoch: u64, cursor: u64, seq: u64, payload: u64) -> Operation {
    Operation::Delivered {
        user: 9,
        device,
        epoch,
        cursor,
        conversation: CONVERSATION,
        seq,
        sender: 7,
        origin: None,
        payload: Some(payload),
        at: 2,
    }
}

fn read(seq: u64, payload: u64) -> Operation {
    Operation::History {
        reader: 9,
        conversation: CONVERSATION,
        seq,
        sender: 7,
        payload,
        at: 3,
    }
}

fn head(seq: u64) -> Operation {
    let (conversation, at) = (CONVERSATION, 4);
    Operation::Head {
        conversation,
        seq,
        at,
    }
}

fn caught_up(device: u64) -> Operation {
    Operation::CaughtUp {
        user: 9,
        device,
        at: 5,
    }
}

fn breaks(rule: Rule, operations: &[Operation]) {
    let report = judge(operations);
    let rules: Vec<_> = report.violations_by_rule.keys().copied().collect();
    assert_eq!(rules, [rule], "{report}");
    assert!(report.to_string().contains(&format!("{rule:?}")));
}

#[test]
fn a_loss_from_history() {
    breaks(Rule::LostFromHistory, &[sent(1, 11), acked(1, 1), head(0)]);
}

#[test]
fn a_hole_in_history() {
    let operations = [sent(1, 11), acked(1, 1), read(1, 11), head(2)];
    breaks(Rule::HistoryGap, &operations);
}

#[test]
fn a_loss_from_an_inbox() {
    breaks(
        Rule::LostFromInbox,
        &[sent(1, 11), acked(1, 1), caught_up(1)],
    );
}

#[test]
fn a_loss_that_a_reset_brings() {
    let reset = Operation::Reset {
        user: 9,
        device: 1,
        epoch: 6,
        head: 0,
        at: 3,
    };
    let operations = [
        sent(1, 11),
        acked(1, 1),
        shown(1, 5, 1, 1, 11),
        reset,
        caught_up(1),
    ];
    breaks(Rule::LostFromInbox, &operations);
    let mut repaired = operations.to_vec();
    repaired.insert(4, shown(1, 6, 1, 1, 11));
    judge(&repaired).assert_clean();
}

#[test]
fn a_device_that_stays_behind() {
    let operations = [
        sent(1, 11),
        shown(1, 5, 1, 1, 11),
        shown(1, 5, 2, 1, 11),
        shown(2, 5, 1, 1, 11),
        caught_up(2),
    ];
    let report = judge(&operations);
    assert!(
        report.violations_by_rule.contains_key(&Rule::DeviceBehind),
        "{report}"
    );
}

#[test]
fn two_sequences_for_one_message() {
    let operations = [sent(1, 11), acked(1, 1), acked(1, 2)];
    breaks(Rule::TwoSequences, &operations);
}

#[test]
fn two_messages_for_one_sequence() {
    let operations = [sent(1, 11), sent(2, 11), acked(1, 1), acked(2, 1)];
    breaks(Rule::TwoMessages, &operations);
}

#[test]
fn two_messages_for_one_sequence_seen_by_readers() {
    breaks(Rule::TwoMessages, &[read(1, 11), read(1, 12)]);
}

#[test]
fn a_message_stored_twice() {
    let operations = [sent(1, 11), acked(1, 1), read(1, 11), read(2, 11), head(2)];
    breaks(Rule::Doubled, &operations);
}

#[test]
fn a_message_whose_answer_was_lost_is_no_double() {
    let operations = [
        sent(1, 11),
        acked(1, 1),
        sent(2, 11),
        read(1, 11),
        read(2, 11),
        head(2),
    ];
    judge(&operations).assert_clean();
}

#[test]
fn an_altered_body() {
    breaks(Rule::Altered, &[sent(1, 11), acked(1, 1), read(1, 12)]);
}

#[test]
fn a_conversation_with_a_hole() {
    let operations = [
        sent(1, 11),
        sent(3, 13),
        shown(1, 5, 1, 1, 11),
        shown(1, 5, 2, 3, 13),
    ];
    breaks(Rule::ConversationGap, &operations);
}

#[test]
fn a_cursor_with_a_hole() {
    let operations = [
        sent(1, 11),
        sent(2, 12),
        shown(1, 5, 1, 1, 11),
        shown(1, 5, 3, 2, 12),
    ];
    breaks(Rule::CursorGap, &operations);
}

#[test]
fn a_cursor_twice() {
    let operations = [sent(1, 11), shown(1, 5, 1, 1, 11), shown(1, 5, 1, 1, 11)];
    breaks(Rule::CursorTwice, &operations);
}

#[test]
fn a_reset_past_what_was_never_shown() {
    let reset = Operation::Reset {
        user: 1,
        device: 1,
        epoch: 6,
        head: 2,
        at: 5,
    };
    let operations = [sent(1, 11), sent(2, 12), shown(1, 5, 1, 1, 11), reset];
    breaks(Rule::ResetSkips, &operations);
}

#[test]
fn an_epoch_without_a_reset() {
    let operations = [
        sent(1, 11),
        sent(2, 12),
        shown(1, 5, 1, 1, 11),
        shown(1, 6, 2, 2, 12),
    ];
    breaks(Rule::EpochWithoutReset, &operations);
}

#[test]
fn two_devices_that_are_shown_different_inboxes() {
    let other = Operation::Delivered {
        user: 9,
        device: 2,
        epoch: 5,
        cursor: 1,
        conversation: Conversation::Direct(8, 9),
        seq: 1,
        sender: 8,
        origin: None,
        payload: Some(1),
        at: 2,
    };
    breaks(
        Rule::InboxesDiffer,
        &[sent(1, 11), shown(1, 5, 1, 1, 11), other],
    );
}

#[test]
fn a_sender_whose_messages_change_places() {
    let operations = [sent(1, 11), sent(2, 12), acked(1, 2), acked(2, 1)];
    breaks(Rule::SenderOrder, &operations);
}

#[test]
fn a_stranger_who_reads() {
    let stranger = Operation::History {
        reader: 3,
        conversation: CONVERSATION,
        seq: 1,
        sender: 7,
        payload: 11,
        at: 3,
    };
    breaks(Rule::NotAMember, &[sent(1, 11), acked(1, 1), stranger]);
}

#[test]
fn a_member_who_reads_what_was_before_them() {
    let conversation = Conversation::Group(4);
    let member = |user, after| Operation::Member {
        conversation,
        user,
        after,
    };
    let read = |seq| Operation::History {
        reader: 8,
        conversation,
        seq,
        sender: 7,
        payload: 1,
        at: 3,
    };
    let operations = [member(7, 0), member(8, 1), read(2)];
    judge(&operations).assert_clean();
    breaks(Rule::NotAMember, &[member(7, 0), member(8, 1), read(1)]);
}

#[test]
fn two_outcomes() {
    let refused = Operation::Refused {
        user: 7,
        device: DEVICE,
        id: 1,
        code: 1002,
        at: 2,
    };
    breaks(Rule::TwoOutcomes, &[sent(1, 11), acked(1, 1), refused]);
    breaks(Rule::TwoOutcomes, &[sent(1, 11), refused, acked(1, 1)]);
}

#[test]
fn an_answer_to_nothing() {
    breaks(Rule::Unsent, &[acked(1, 1)]);
}

#[test]
fn one_id_for_two_messages() {
    breaks(Rule::IdReused, &[sent(1, 11), sent(1, 12)]);
}

#[test]
fn a_flood_of_violations_is_counted_and_not_kept() {
    let operations: Vec<_> = (1..=1000).map(|id| acked(id, id)).collect();
    let report = judge(&operations);
    assert_eq!(
        (report.violations.len(), report.violations_total()),
        (50, 1000)
    );
    assert!(report.to_string().ends_with("950 more not shown"));
}

#[test]
fn absurd_numbers_are_judged_and_not_believed() {
    let operations = [
        sent(u64::MAX, 11),
        acked(u64::MAX, u64::MAX),
        shown(1, u64::MAX, u64::MAX, u64::MAX, 11),
        shown(1, 0, 0, 0, 11),
        read(u64::MAX, 11),
        head(u64::MAX),
        caught_up(1),
    ];
    assert!(!judge(&operations).is_clean());
}
