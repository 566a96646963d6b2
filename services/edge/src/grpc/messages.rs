//! Messages of gRPC as tensors, and tensors as messages.

use bytes::Bytes;

use super::proto::infer_parameter::ParameterChoice;
use super::proto::model_infer_response::InferOutputTensor;
use super::proto::{self, InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse};
use crate::front::problem::Problem;
use crate::models::tensors::{self, Datatype, Elements, Faults, OutputTensor, Parameters, Requested, Tensor};

type Map = std::collections::HashMap<String, InferParameter>;

/// Parameters, those that mean something; the pointer is the object's that has them.
fn parameters(of: &Map, pointer: &str, faults: &mut Faults) -> Parameters {
    let mut all = Parameters::default();
    for (name, parameter) in of {
        let choice = parameter.parameter_choice.as_ref();
        let mut wrong = |wanted: &str| faults.at(&format!("{pointer}/parameters/{name}"), format!("must be {wanted}"));
        let flag = |choice| match choice {
            Some(&ParameterChoice::BoolParam(of)) => Some(of),
            _ => None,
        };
        let count = |choice| match choice {
            Some(&ParameterChoice::Int64Param(of)) => u64::try_from(of).ok(),
            Some(&ParameterChoice::Uint64Param(of)) => Some(of),
            _ => None,
        };
        match name.as_str() {
            "content_type" => match choice {
                Some(ParameterChoice::StringParam(of)) => all.content_type = Some(of.clone()),
                _ => wrong("a text"),
            },
            // gRPC's tensors are binary anyhow.
            "binary_data" | "binary_data_output" if flag(choice).is_none() => wrong("true or false"),
            "classification" => match count(choice) {
                Some(of) => all.classification = Some(of),
                None => wrong("a whole number, not negative"),
            },
            "timeout" => match count(choice) {
                Some(of) => all.timeout = Some(of),
                None => wrong("a whole number, not negative"),
            },
            "shared_memory_region" => {
                faults.at(&format!("{pointer}/parameters/{name}"), "is not offered; send the elements")
            }
            _ => {}
        }
    }
    all
}

/// A request's tensors, its parameters and the outputs that it names.
pub(super) struct Request<'m> {
    pub(super) inputs: Vec<Tensor<'m>>,
    pub(super) parameters: Parameters,
    pub(super) outputs: Vec<Requested>,
}

/// Reads a request; the elements stay where they are.
pub(super) fn read(message: &ModelInferRequest) -> Result<Request<'_>, Problem> {
    let mut faults = Faults::default();
    let raw = &message.raw_input_contents;
    if message.inputs.is_empty() {
        faults.at("/inputs", "must be at least one tensor");
    }
    if !raw.is_empty() && raw.len() != message.inputs.len() {
        let detail =
            format!("has {} buffers for {} inputs; must have one for each, or none", raw.len(), message.inputs.len());
        faults.at("/raw_input_contents", detail);
        return Err(faults.problem());
    }
    let own = parameters(&message.parameters, "", &mut faults);
    let mut inputs = Vec::with_capacity(message.inputs.len());
    for (at, input) in message.inputs.iter().enumerate() {
        let pointer = format!("/inputs/{at}");
        let of = parameters(&input.parameters, &pointer, &mut faults);
        let datatype = Datatype::find(&input.datatype);
        if datatype.is_none() {
            faults.at(&format!("{pointer}/datatype"), Datatype::wanted());
        }
        let shape = tensors::shape(&input.shape)
            .map_err(|(place, detail)| faults.at(&format!("{pointer}/shape{place}"), detail))
            .ok();
        let (Some(datatype), Some(shape)) = (datatype, shape) else { continue };
        let elements = match (raw.get(at), &input.contents) {
            (Some(_), Some(contents)) if *contents != InferTensorContents::default() => {
                Err("must not be there beside raw_input_contents".to_owned())
            }
            (Some(raw), _) => Ok(Elements::Raw(raw)),
            (None, Some(contents)) => typed(contents, datatype),
            (None, None) => Err("is missing; must hold the elements, if raw_input_contents does not".to_owned()),
        };
        match elements {
            Ok(elements) => inputs.push(Tensor {
                name: input.name.as_str().into(),
                datatype,
                shape,
                elements,
                content_type: of.content_type,
                pointer,
            }),
            Err(detail) => faults.at(&format!("{pointer}/contents"), detail),
        }
    }
    let mut outputs = Vec::with_capacity(message.outputs.len());
    for (at, output) in message.outputs.iter().enumerate() {
        let parameters = parameters(&output.parameters, &format!("/outputs/{at}"), &mut faults);
        outputs.push(Requested { name: output.name.clone(), parameters });
    }
    faults.or(Request { inputs, parameters: own, outputs })
}

/// Elements in the field of their datatype.
fn typed(contents: &InferTensorContents, datatype: Datatype) -> Result<Elements<'_>, String> {
    Ok(match datatype {
        Datatype::Bool => Elements::Bools(&contents.bool_contents),
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => Elements::Ints(&contents.int_contents),
        Datatype::Int64 => Elements::Longs(&contents.int64_contents),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => Elements::Uints(&contents.uint_contents),
        Datatype::Uint64 => Elements::Ulongs(&contents.uint64_contents),
        Datatype::Fp32 => Elements::Floats(&contents.fp32_contents),
        Datatype::Fp64 => Elements::Doubles(&contents.fp64_contents),
        Datatype::Bytes => Elements::Texts(&contents.bytes_contents),
        Datatype::Fp16 => return Err("has no field for FP16; send it by raw_input_contents".to_owned()),
    })
}

/// An answer; its tensors go by `raw_output_contents`.
pub(super) fn write(model: &str, version: &str, id: String, outputs: &[OutputTensor<'_>]) -> ModelInferResponse {
    let described = |output: &OutputTensor<'_>| InferOutputTensor {
        name: output.name.to_owned(),
        datatype: output.filled.datatype().name().to_owned(),
        shape: output.shape.iter().map(|of| i64::try_from(*of).unwrap_or(i64::MAX)).collect(),
        ..InferOutputTensor::default()
    };
    let raw = |output: &OutputTensor<'_>| {
        let mut buffer = Vec::new();
        tensors::buffer(&mut buffer, &output.filled);
        Bytes::from(buffer)
    };
    ModelInferResponse {
        model_name: model.to_owned(),
        model_version: version.to_owned(),
        id,
        parameters: Map::new(),
        outputs: outputs.iter().map(described).collect(),
        raw_output_contents: outputs.iter().map(raw).collect(),
    }
}

/// A tensor of metadata.
pub(super) fn described(of: tensors::Described) -> proto::model_metadata_response::TensorMetadata {
    let tensors::Described { name, datatype, shape } = of;
    proto::model_metadata_response::TensorMetadata { name, datatype: datatype.name().to_owned(), shape }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::model_infer_request::InferInputTensor;

    fn message(datatype: &str, contents: Option<InferTensorContents>, raw: Vec<Bytes>) -> ModelInferRequest {
        let input = InferInputTensor {
            name: "x".into(),
            datatype: datatype.into(),
            shape: vec![1, 2],
            contents,
            ..Default::default()
        };
        ModelInferRequest { inputs: vec![input], raw_input_contents: raw, ..Default::default() }
    }

    fn pointers(message: &ModelInferRequest) -> Vec<String> {
        read(message).err().map(|p| p.faults.into_iter().map(|f| f.pointer).collect()).unwrap_or_default()
    }

    #[test]
    fn elements_are_typed_or_raw() {
        let floats = InferTensorContents { fp32_contents: vec![1.0, 2.0], ..Default::default() };
        let typed = message("FP32", Some(floats.clone()), Vec::new());
        assert!(matches!(read(&typed).unwrap().inputs[0].elements, Elements::Floats([1.0, 2.0])));
        let raw = message("FP32", None, vec![Bytes::from_static(&[0; 8])]);
        assert!(matches!(read(&raw).unwrap().inputs[0].elements, Elements::Raw([0, ..])));
        assert_eq!(pointers(&message("FP32", Some(floats), vec![Bytes::new()])), ["/inputs/0/contents"]);
        assert_eq!(pointers(&message("FP32", None, Vec::new())), ["/inputs/0/contents"]);
        assert_eq!(pointers(&message("FP16", Some(Default::default()), Vec::new())), ["/inputs/0/contents"]);
        assert_eq!(pointers(&message("FP31", None, Vec::new())), ["/inputs/0/datatype"]);
        assert_eq!(pointers(&message("FP32", None, vec![Bytes::new(), Bytes::new()])), ["/raw_input_contents"]);
        assert_eq!(pointers(&ModelInferRequest::default()), ["/inputs"]);
    }

    #[test]
    fn parameters_of_a_wrong_type_are_told() {
        let mut wrong = message("FP32", None, vec![Bytes::from_static(&[0; 8])]);
        let parameter = |choice| InferParameter { parameter_choice: Some(choice) };
        wrong.parameters.insert("timeout".into(), parameter(ParameterChoice::Int64Param(-1)));
        wrong.parameters.insert("other".into(), parameter(ParameterChoice::StringParam("x".into())));
        assert_eq!(pointers(&wrong), ["/parameters/timeout"]);
    }
}
