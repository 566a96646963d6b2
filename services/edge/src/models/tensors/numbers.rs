//! A number in JSON as an element of a datatype: read to 64 bits, then cast, and only to what the datatype can hold.

use arborgate_forest::Scalar;
use half::f16;

use super::datatype::Datatype;
use super::elements::Element;

/// A number in JSON.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Number {
    #[expect(clippy::cast_precision_loss, reason = "what every server does")]
    fn float(self) -> f64 {
        match self {
            Self::Unsigned(value) => value as f64,
            Self::Signed(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// As a whole number, if it is one.
    fn whole(self) -> Option<i128> {
        match self {
            Self::Unsigned(value) => Some(value.into()),
            Self::Signed(value) => Some(value.into()),
            #[expect(clippy::cast_possible_truncation, reason = "its range is looked at before")]
            Self::Float(value) => (value.fract() == 0.0 && value.abs() < 1e30).then_some(value as i128),
        }
    }

    /// As an element; else what it must be.
    pub(super) fn element(self, datatype: Datatype) -> Element<'static> {
        match datatype {
            Datatype::Fp64 => Element::Value(Scalar::Float(self.float())),
            #[expect(clippy::cast_possible_truncation, reason = "the cast that the datatype says")]
            Datatype::Fp32 => held(f64::from(self.float() as f32), datatype),
            Datatype::Fp16 => held(f16::from_f64(self.float()).to_f64(), datatype),
            Datatype::Bytes => Element::Wrong("must be a text, as BYTES is".to_owned()),
            Datatype::Bool => match self.whole() {
                Some(0) => Element::Value(Scalar::Bool(false)),
                Some(1) => Element::Value(Scalar::Bool(true)),
                _ => Element::Wrong("must be true or false, as BOOL is".to_owned()),
            },
            _ => whole(self.whole(), datatype),
        }
    }
}

/// A float that was cast.
fn held(value: f64, datatype: Datatype) -> Element<'static> {
    if value.is_finite() {
        return Element::Value(Scalar::Float(value));
    }
    Element::Wrong(format!("must be within the range of {}", datatype.name()))
}

/// A whole number within an integer's range.
pub(super) fn whole(value: Option<i128>, datatype: Datatype) -> Element<'static> {
    let (least, most) = datatype.range().unwrap_or_default();
    let scalar = value.filter(|value| (least..=most).contains(value)).and_then(|value| {
        u64::try_from(value).map(Scalar::Unsigned).or_else(|_| i64::try_from(value).map(Scalar::Signed)).ok()
    });
    scalar.map_or_else(
        || Element::Wrong(format!("must be a whole number from {least} to {most}, as {} is", datatype.name())),
        Element::Value,
    )
}
