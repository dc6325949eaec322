//! Any bytes as a stream: no panic, progress, coded faults, and canonical frames that encode to the bytes they came from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond_wire::{
    BODY_BYTES_MAX, Decoded, Frame, HEAD_BYTES_MAX, Records, Tag, decode, encode, encode_record,
};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Some(taken) = one(rest) {
        rest = &rest[taken..];
    }
    if let Ok(records) = Records::parse(bytes) {
        walk(records, bytes);
    }
});

/// Judges the front of a stream: how many bytes a frame took there.
fn one(bytes: &[u8]) -> Option<usize> {
    match decode(bytes, BODY_BYTES_MAX) {
        Ok(Decoded::Frame(frame, taken)) => {
            whole(&frame, &bytes[..taken]);
            Some(taken)
        }
        Ok(Decoded::Need(need)) => {
            assert!(need > bytes.len() && need <= BODY_BYTES_MAX + HEAD_BYTES_MAX);
            None
        }
        Err(fault) => {
            assert!(fault.offset <= bytes.len());
            assert!((7001..=7003).contains(&fault.code().0));
            None
        }
    }
}

fn whole(frame: &Frame<'_>, bytes: &[u8]) {
    let mut again = Vec::new();
    encode(frame, &mut again);
    if is_extended(frame, bytes) {
        let decoded = decode(&again, BODY_BYTES_MAX);
        assert_eq!(decoded, Ok(Decoded::Frame(frame.clone(), again.len())));
    } else {
        assert_eq!(again, bytes);
    }
    match frame {
        Frame::SendAck(ack) => assert_eq!(ack.acks.iter().count(), ack.acks.len()),
        Frame::Receipt(receipt) => assert_eq!(receipt.marks.iter().count(), receipt.marks.len()),
        Frame::Deliver(deliver) => walk(deliver.records, deliver.records.as_bytes()),
        Frame::HistoryPage(page) => walk(page.records, page.records.as_bytes()),
        _ => {}
    }
}

/// Every record can be read and written again; ignored extensions make the copy shorter.
fn walk(records: Records<'_>, bytes: &[u8]) {
    let mut again = Vec::new();
    records.iter().for_each(|record| encode_record(&record, &mut again));
    assert!(again.len() <= bytes.len());
    let copy = Records::parse(&again).expect("what was encoded decodes");
    assert!(copy.iter().eq(records.iter()));
}

/// An ignored extension is the one thing that encoding does not bring back.
fn is_extended(frame: &Frame<'_>, bytes: &[u8]) -> bool {
    let without_flags = [None, Some(Tag::Ping), Some(Tag::Pong), Some(Tag::CursorAck)];
    let head_bytes = 2 + bytes[1..].iter().take_while(|&&byte| byte >= 0x80).count();
    !without_flags.contains(&frame.tag()) && bytes[head_bytes] & 0x80 != 0
}
