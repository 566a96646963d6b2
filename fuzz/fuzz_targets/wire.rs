//! The binary layout of predictions: no bytes make a reader panic, and what it reads is written and read as the same.
#![no_main]

use arborgate_contracts::wire::{
    Answer, Asked, LAYOUT_ASKING, PredictRequest, Reply, ReplyWriter, RequestWriter, Segment,
};
use libfuzzer_sys::fuzz_target;

/// NaN is not equal to itself; its bits are.
fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn same_segment(one: &Segment, two: &Segment) {
    assert_eq!((one.trace, &one.grant, one.rows), (two.trace, &two.grant, two.rows));
    assert_eq!(bits(&one.values), bits(&two.values));
    // what is left travels rounded up, and counts from when it is read: never less
    assert!(two.deadline >= one.deadline);
}

fn request(message: &[u8]) {
    let Ok(read) = PredictRequest::read(message) else { return };
    let mut writer = RequestWriter::asking(&read.header, read.asked, message.len());
    for segment in &read.segments {
        writer.push(segment.deadline, segment.trace, &segment.grant, segment.rows, &segment.values);
    }
    let written = writer.finish();
    // the default may be said, and is not when it is written
    let said = usize::from(read.asked == Asked::DEFAULT && message.get(2) == Some(&LAYOUT_ASKING));
    assert_eq!(written.len() + said, message.len());
    let again = PredictRequest::read(&written).unwrap();
    assert_eq!((&read.header, read.asked), (&again.header, again.asked));
    assert_eq!(read.segments.len(), again.segments.len());
    read.segments.iter().zip(&again.segments).for_each(|(one, two)| same_segment(one, two));
}

fn same_answer(one: &Answer, two: &Answer) {
    assert_eq!((one.queued_us, one.computed_us, one.rows), (two.queued_us, two.computed_us, two.rows));
    assert_eq!(bits(&one.values), bits(&two.values));
    assert_eq!(one.labels, two.labels);
}

fn reply(message: &[u8]) {
    let Ok(read) = Reply::read(message) else { return };
    let mut writer = ReplyWriter::new(read.width, read.labels, message.len());
    for segment in &read.segments {
        match segment {
            Ok(a) => writer.answer(a.queued_us, a.computed_us, a.rows, &a.values, &a.labels),
            Err(error) => writer.refuse(error),
        }
    }
    let again = Reply::read(&writer.finish()).unwrap();
    assert_eq!((read.width, read.labels, read.segments.len()), (again.width, again.labels, again.segments.len()));
    for pair in read.segments.iter().zip(&again.segments) {
        match pair {
            (Ok(one), Ok(two)) => same_answer(one, two),
            (one, two) => assert_eq!(one, two),
        }
    }
}

fuzz_target!(|message: &[u8]| {
    request(message);
    reply(message);
});
