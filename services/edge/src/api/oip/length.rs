//! The value of `Inference-Header-Content-Length`.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult, Type};

/// How many bytes of a body are JSON, said once and in digits alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JsonBytes(pub(super) u32);

impl Type for JsonBytes {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "bytes".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let schema = MetaSchema { minimum: Some(0.0), ..MetaSchema::new_with_format("integer", "uint32") };
        MetaSchemaRef::Inline(Box::new(schema))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(self.as_raw_value().into_iter())
    }
}

impl ParseFromParameter for JsonBytes {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let digits = Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
        let bytes = digits.and_then(|digits| digits.parse().ok());
        bytes.map(Self).ok_or_else(|| ParseError::custom("must be a number of bytes, in digits alone"))
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(values: I) -> ParseResult<Self> {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse_from_parameter(value.as_ref()),
            (None, _) => Err(ParseError::expected_input()),
            (Some(_), Some(_)) => Err(ParseError::custom("must be there once")),
        }
    }
}
