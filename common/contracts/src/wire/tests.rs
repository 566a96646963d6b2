use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{Deadline, ErrorCode, ServiceError, TraceContext};

fn header(columns: u32) -> BatchHeader {
    BatchHeader { model: "iris".parse().unwrap(), version: "1.0".parse().unwrap(), columns }
}

fn example() -> bytes::Bytes {
    let mut writer = RequestWriter::new(&header(2), 0);
    let trace = TraceContext { trace_id: 7, span_id: 9, flags: 1 };
    let deadline = Deadline::after(Duration::from_secs(5));
    writer.push(deadline, Some(trace), "role:admin", 2, &[1.0, -0.0, f64::MIN_POSITIVE, f64::INFINITY]);
    writer.push(deadline, None, "", 0, &[]);
    writer.finish()
}

#[test]
fn a_request_is_read_as_written() {
    let read = PredictRequest::read(&example()).unwrap();
    assert_eq!(read.header, header(2));
    let [first, second] = read.segments.as_slice() else { panic!("two segments") };
    assert_eq!(first.trace, Some(TraceContext { trace_id: 7, span_id: 9, flags: 1 }));
    assert_eq!(&*first.grant, "role:admin");
    assert_eq!(
        first.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
        [1.0, -0.0, f64::MIN_POSITIVE, f64::INFINITY].map(f64::to_bits)
    );
    assert!(first.deadline.remaining() > Duration::from_secs(4));
    assert_eq!((second.trace, second.rows), (None, 0));
}

#[test]
fn what_is_asked_is_read_as_written_and_the_default_is_the_first_layout() {
    let message = |asked| RequestWriter::asking(&header(2), asked, 0).finish();
    for bits in 1..32 {
        let asked = Asked::from_bits(bits).unwrap();
        assert_eq!(PredictRequest::read(&message(asked)).unwrap().asked, asked);
    }
    assert_eq!(message(Asked::DEFAULT), RequestWriter::new(&header(2), 0).finish());
    assert_eq!(message(Asked::VALUES.and(Asked::LABELS))[2], LAYOUT);
    let mut nothing = message(Asked::LEAVES).to_vec();
    assert_eq!(nothing[2..4], [LAYOUT_ASKING, 8]);
    for bits in [0, 32, 255] {
        nothing[3] = bits;
        let refused = PredictRequest::read(&nothing).unwrap_err();
        assert!(matches!(refused, WireError::Illegal { what: "what is asked", .. }), "{bits}: {refused}");
    }
}

#[test]
fn a_reply_may_hold_indexes_alone_but_not_nothing() {
    let mut writer = ReplyWriter::new(0, 2, 0);
    writer.answer(1, 2, 2, &[], &[3, 4, 5, 6]);
    let reply = Reply::read(&writer.finish()).unwrap();
    assert_eq!(reply.segments[0].as_ref().unwrap().labels, [3, 4, 5, 6]);
    let nothing = ReplyWriter::new(0, 0, 0).finish();
    assert!(matches!(Reply::read(&nothing), Err(WireError::Illegal { what: "width", .. })));
}

#[test]
fn a_reply_is_read_as_written() {
    let refusal = ServiceError::new(ErrorCode::Overloaded, "queue of 'iris' is full");
    let mut writer = ReplyWriter::new(3, 1, 0);
    writer.answer(10, 20, 1, &[0.25, 0.5, 0.25], &[1]);
    writer.refuse(&refusal);
    let reply = Reply::read(&writer.finish()).unwrap();
    assert_eq!((reply.width, reply.labels), (3, 1));
    let answer = reply.segments[0].as_ref().unwrap();
    assert_eq!(
        (answer.rows, answer.labels.as_slice(), answer.values.as_slice()),
        (1, &[1][..], &[0.25, 0.5, 0.25][..])
    );
    assert_eq!(reply.segments[1].as_ref().unwrap_err(), &refusal);
}

#[test]
fn every_truncation_is_refused() {
    let whole = example();
    for end in 0..whole.len() {
        assert!(PredictRequest::read(&whole[..end]).is_err(), "cut at {end}");
    }
    let mut longer = whole.to_vec();
    longer.push(0);
    assert_eq!(PredictRequest::read(&longer), Err(WireError::Trailing { extra: 1 }));
}

#[test]
fn counts_that_lie_are_refused_before_anything_is_allocated() {
    let mut message = example().to_vec();
    let count_at = 3 + 5 + 4 + 4;
    message[count_at..count_at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(PredictRequest::read(&message), Err(WireError::Illegal { what: "segment count", .. })));
    message[2] = 9;
    assert_eq!(PredictRequest::read(&message), Err(WireError::Version { found: 9 }));
}

#[test]
fn a_segment_is_as_long_as_it_is_said_to_be() {
    let mut writer = RequestWriter::new(&header(3), 0);
    let before = writer.len();
    writer.push(Deadline::after(Duration::from_secs(1)), None, "g", 2, &[0.0; 6]);
    assert_eq!(writer.len() - before, segment_size("g", 2, 3));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = PredictRequest::read(&bytes);
        let _ = Reply::read(&bytes);
    }

    #[test]
    fn no_change_of_a_byte_makes_a_reader_panic(at in 0usize..150, byte: u8) {
        let mut message = example().to_vec();
        let len = message.len();
        message[at % len] = byte;
        if let Ok(read) = PredictRequest::read(&message) {
            for segment in read.segments {
                prop_assert_eq!(segment.values.len(), segment.rows as usize * read.header.columns as usize);
            }
        }
    }

    #[test]
    fn rows_travel_to_the_bit(values in proptest::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..64)) {
        let mut writer = RequestWriter::new(&header(1), 0);
        writer.push(Deadline::after(Duration::from_secs(1)), None, "g", values.len() as u32, &values);
        let read = PredictRequest::read(&writer.finish()).unwrap();
        let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&read.segments[0].values), bits(&values));
    }
}
