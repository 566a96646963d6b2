//! Writes an array in version 1.0, C order. How many rows there are is known in the end, for which the header has room.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use super::header::MAGIC;
use crate::error::Error;
use crate::write::{Answers, Choices, Columns, Sink, other_columns};

/// Bytes before the numbers; numpy wants a multiple of 64.
const START: usize = 128;
const BUFFER: usize = 1 << 20;

/// A column's values, each as its bytes.
type Encoded = Vec<Vec<u8>>;

pub(crate) struct NpyWriter<W: Write + Seek> {
    to: BufWriter<W>,
    descr: String,
    columns: usize,
    rows: u64,
    /// For each column its values; none of numbers.
    choices: Vec<Encoded>,
}

impl<W: Write + Seek> NpyWriter<W> {
    pub(crate) fn new(to: W, columns: Columns) -> Result<Self, Error> {
        let count = columns.count();
        let (descr, choices) = match columns {
            Columns::Numbers(_) => ("<f8".to_owned(), Vec::new()),
            Columns::OneOf(columns) => encode(columns.into_iter().map(|(_, choices)| choices).collect())?,
        };
        let mut to = BufWriter::with_capacity(BUFFER, to);
        to.write_all(&[0; START]).map_err(Error::Write)?;
        Ok(Self { to, descr, columns: count, rows: 0, choices })
    }

    /// One column has one dimension, as numpy has predictions.
    fn header(&self) -> Vec<u8> {
        let Self { descr, rows, columns, .. } = self;
        let shape = if *columns == 1 { format!("({rows},)") } else { format!("({rows}, {columns})") };
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let mut header = MAGIC.to_vec();
        header.extend([1, 0]);
        header.extend(u16::try_from(START - 10).unwrap_or_default().to_le_bytes());
        header.extend(text.bytes());
        header.resize(START - 1, b' ');
        header.push(b'\n');
        header
    }
}

/// The type that all columns have, and their values in it.
fn encode(columns: Vec<Choices>) -> Result<(String, Vec<Encoded>), Error> {
    let all = |is: fn(&Choices) -> bool| columns.iter().all(is);
    let whole = |value: &i64| value.to_le_bytes().to_vec();
    let number = |value: &f64| value.to_le_bytes().to_vec();
    if all(|of| matches!(of, Choices::Whole(_))) {
        let encoded = columns.iter().map(|of| match of {
            Choices::Whole(values) => values.iter().map(whole).collect(),
            _ => Vec::new(),
        });
        Ok(("<i8".to_owned(), encoded.collect()))
    } else if all(|of| matches!(of, Choices::Bool(_))) {
        let encoded = columns.iter().map(|of| match of {
            Choices::Bool(values) => values.iter().map(|value| vec![u8::from(*value)]).collect(),
            _ => Vec::new(),
        });
        Ok(("|b1".to_owned(), encoded.collect()))
    } else if all(|of| matches!(of, Choices::Whole(_) | Choices::Numbers(_))) {
        #[expect(clippy::cast_precision_loss, reason = "numpy does so too where floats stand beside integers")]
        let encoded = columns.iter().map(|of| match of {
            Choices::Whole(values) => values.iter().map(|value| number(&(*value as f64))).collect(),
            Choices::Numbers(values) => values.iter().map(number).collect(),
            _ => Vec::new(),
        });
        Ok(("<f8".to_owned(), encoded.collect()))
    } else if all(|of| matches!(of, Choices::Text(_))) {
        Ok(texts(&columns))
    } else {
        Err(Error::content(
            "an npy file holds values of one type, and these labels are of several; write CSV or Parquet",
        ))
    }
}

/// All of the longest's length, in UTF-32.
fn texts(columns: &[Choices]) -> (String, Vec<Encoded>) {
    let texts = |of: &Choices| match of {
        Choices::Text(texts) => texts.clone(),
        _ => Vec::new(),
    };
    let columns: Vec<Vec<String>> = columns.iter().map(texts).collect();
    let longest = columns.iter().flatten().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    let encode = |text: &String| {
        let mut bytes: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        bytes.resize(4 * longest, 0);
        bytes
    };
    (format!("<U{longest}"), columns.iter().map(|texts| texts.iter().map(encode).collect()).collect())
}

impl<W: Write + Seek + Send> Sink for NpyWriter<W> {
    fn write(&mut self, rows: &Answers) -> io::Result<()> {
        match rows {
            Answers::Numbers(rows) if self.choices.is_empty() && rows.ncols() == self.columns => {
                for value in rows {
                    self.to.write_all(&value.to_le_bytes())?;
                }
            }
            Answers::Places(rows) if rows.ncols() == self.choices.len() => {
                for row in rows.outer_iter() {
                    for (place, choices) in row.iter().zip(&self.choices) {
                        self.to.write_all(choices.get(*place as usize).ok_or_else(other_columns)?)?;
                    }
                }
            }
            _ => return Err(other_columns()),
        }
        self.rows += rows.rows() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let header = self.header();
        self.to.seek(SeekFrom::Start(0))?;
        self.to.write_all(&header)?;
        self.to.flush()
    }
}
