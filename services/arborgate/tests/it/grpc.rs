//! The inference protocol over gRPC, with a client of tonic over the port of everything else.

use std::time::Duration;

use arborgate_edge::grpc::proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use arborgate_edge::grpc::proto::{
    InferTensorContents, ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse,
    ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
    ModelStatisticsResponse, RepositoryIndexRequest, RepositoryIndexResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use arborgate_testkit::process::{Program, READY};
use arborgate_testkit::system::{Credential, Kind, Options, System};
use bytes::Bytes;
use reqwest::Method;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::support::{PROGRAM, on_both_buses, on_both_kinds, private, run, unique};

on_both_buses!(
    the_server_and_its_models_say_what_they_are,
    rows_are_predicted_typed_and_raw,
    who_may_is_the_same_as_over_http,
    bad_calls_are_told_in_their_place,
    messages_may_be_packed,
    a_message_that_lies_is_refused,
);
on_both_kinds!(limits_and_deadlines_hold);

const ROWS: [f32; 12] = [5.1, 3.5, 1.4, 0.2, 6.9, 3.1, 5.4, 2.1, 5.7, 2.6, 3.5, 1.0];

async fn channel(system: &System) -> Channel {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(std::fs::read(system.ca()).unwrap()));
    let endpoint = Endpoint::from_shared(system.edge(0).to_owned()).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await.unwrap()
}

struct Client {
    grpc: Grpc<Channel>,
    who: Credential,
}

impl Client {
    async fn new(system: &System, who: &Credential) -> Self {
        Self { grpc: Grpc::new(channel(system).await), who: who.clone() }
    }

    async fn call<Q, A>(&mut self, name: &str, message: Q) -> Result<tonic::Response<A>, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.send(name, Request::new(message)).await
    }

    async fn send<Q, A>(&mut self, name: &str, mut request: Request<Q>) -> Result<tonic::Response<A>, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        match &self.who {
            Credential::None => {}
            Credential::Bearer(token) => {
                request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            }
            Credential::Key(key) => drop(request.metadata_mut().insert("x-api-key", key.parse().unwrap())),
        }
        self.grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let path = PathAndQuery::try_from(format!("/inference.GRPCInferenceService/{name}")).unwrap();
        self.grpc.unary(request, path, ProstCodec::<Q, A>::default()).await
    }

    async fn infer(&mut self, message: ModelInferRequest) -> Result<ModelInferResponse, Status> {
        Ok(self.call("ModelInfer", message).await?.into_inner())
    }
}

fn matrix() -> ModelInferRequest {
    let input = InferInputTensor {
        name: "input__0".into(),
        datatype: "FP32".into(),
        shape: vec![3, 4],
        contents: Some(InferTensorContents { fp32_contents: ROWS.to_vec(), ..Default::default() }),
        ..Default::default()
    };
    ModelInferRequest { model_name: "iris".into(), id: "7".into(), inputs: vec![input], ..Default::default() }
}

fn raw() -> ModelInferRequest {
    let mut message = matrix();
    message.inputs[0].contents = None;
    message.raw_input_contents = vec![ROWS.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into()];
    message
}

async fn predictor(system: &System) -> Client {
    let who = system.new_user(&unique("grpc"), "predictor").await.unwrap();
    Client::new(system, &who).await
}

async fn the_server_and_its_models_say_what_they_are(system: &System) {
    let mut nobody = Client::new(system, &Credential::None).await;
    let live: ServerLiveResponse = nobody.call("ServerLive", ServerLiveRequest {}).await.unwrap().into_inner();
    let ready: ServerReadyResponse = nobody.call("ServerReady", ServerReadyRequest {}).await.unwrap().into_inner();
    assert!(live.live && ready.ready);
    let told = nobody.call("ServerMetadata", ServerMetadataRequest {}).await.unwrap();
    assert!(told.metadata().get("x-request-id").is_some());
    let told: ServerMetadataResponse = told.into_inner();
    assert_eq!(told.name, "arborgate");

    let mut client = predictor(system).await;
    for version in ["", "1"] {
        let of = ModelReadyRequest { name: "iris".into(), version: version.into() };
        let ready: ModelReadyResponse = client.call("ModelReady", of).await.unwrap().into_inner();
        assert!(ready.ready);
        let of = ModelMetadataRequest { name: "iris".into(), version: version.into() };
        let told: ModelMetadataResponse = client.call("ModelMetadata", of).await.unwrap().into_inner();
        let input = &told.inputs[0];
        assert_eq!(
            (input.name.as_str(), input.datatype.as_str(), &input.shape[..]),
            ("input__0", "FP32", &[-1, 4][..])
        );
    }
    let index = RepositoryIndexRequest { ready: true, ..Default::default() };
    let index: RepositoryIndexResponse = client.call("RepositoryIndex", index).await.unwrap().into_inner();
    assert!(index.models.iter().any(|model| model.name == "iris" && model.state == "READY"));
}

async fn rows_are_predicted_typed_and_raw(system: &System) {
    let mut client = predictor(system).await;
    for message in [matrix(), raw()] {
        let answer = client.infer(message).await.unwrap();
        assert_eq!((answer.model_name.as_str(), answer.model_version.as_str(), answer.id.as_str()), ("iris", "1", "7"));
        let names: Vec<&str> = answer.outputs.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(names, ["prediction", "probabilities"]);
        let classes: Vec<u8> = [0_i64, 2, 1].iter().flat_map(|class| class.to_le_bytes()).collect();
        assert_eq!((&answer.outputs[1].shape[..], &answer.raw_output_contents[0][..]), (&[3, 3][..], &classes[..]));
        assert_eq!(answer.raw_output_contents[1].len(), 72);
    }
    let mut named = raw();
    let output = |name: &str| InferRequestedOutputTensor { name: name.into(), ..Default::default() };
    named.outputs = vec![output("label"), output("contributions")];
    let answer = client.infer(named).await.unwrap();
    assert!(answer.raw_output_contents[0].starts_with(b"\x06\0\0\0setosa\x09\0\0\0virginica"));
    assert_eq!(answer.outputs[1].shape, [3, 3, 5]);

    let of = ModelStatisticsRequest { name: "iris".into(), version: "1".into() };
    let told: ModelStatisticsResponse = client.call("ModelStatistics", of).await.unwrap().into_inner();
    let stats = told.model_stats[0].inference_stats.as_ref().unwrap();
    assert!(told.model_stats[0].inference_count >= 9 && stats.success.as_ref().unwrap().count >= 3);
}

async fn who_may_is_the_same_as_over_http(system: &System) {
    let code = async |who: &Credential| Client::new(system, who).await.infer(matrix()).await.unwrap_err().code();
    assert_eq!(code(&Credential::None).await, Code::Unauthenticated);
    assert_eq!(code(&Credential::Bearer("x.y.z".into())).await, Code::Unauthenticated);
    assert_eq!(code(&Credential::Key("wrong".into())).await, Code::PermissionDenied);
    let user = system.new_user(&unique("grpc-user"), "user").await.unwrap();
    let refused = Client::new(system, &user).await.infer(matrix()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "Operation not permitted"));
    let (key, _) = system.new_key(&unique("grpc-key"), "predictor").await.unwrap();
    assert!(Client::new(system, &key).await.infer(matrix()).await.is_ok());
}

async fn bad_calls_are_told_in_their_place(system: &System) {
    let mut client = predictor(system).await;
    let mut refused = async |change: &dyn Fn(&mut ModelInferRequest)| {
        let mut message = raw();
        change(&mut message);
        client.infer(message).await.unwrap_err()
    };
    for (change, told) in [
        (
            &(|m: &mut ModelInferRequest| m.inputs[0].datatype = "FP8".into()) as &dyn Fn(&mut ModelInferRequest),
            "/inputs/0/datatype",
        ),
        (&|m: &mut ModelInferRequest| m.inputs[0].shape = vec![i64::MAX, 4], "/inputs/0/shape: multiplies past"),
        (&|m: &mut ModelInferRequest| m.inputs[0].shape = vec![-3, 4], "/inputs/0/shape/0: must not be negative"),
        (&|m: &mut ModelInferRequest| m.inputs[0].shape = vec![4, 4], "takes 64"),
        (&|m: &mut ModelInferRequest| m.inputs[0].name = "x".into(), "/inputs/0/name"),
        (&|m: &mut ModelInferRequest| m.inputs.clear(), "/inputs"),
        (&|m: &mut ModelInferRequest| m.raw_input_contents.push(Bytes::new()), "/raw_input_contents"),
        (&|m: &mut ModelInferRequest| m.raw_input_contents.clear(), "/inputs/0/contents"),
        (&|m: &mut ModelInferRequest| m.outputs = vec![InferRequestedOutputTensor::default()], "/outputs/0/name"),
    ] {
        let status = refused(change).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(told), "{status}");
    }
    let status = refused(&|m| {
        m.inputs[0].datatype = "FP8".into();
        m.inputs[0].shape = vec![-3];
    });
    let status = status.await;
    assert!(
        status.message().contains("/inputs/0/datatype") && status.message().contains("/inputs/0/shape/0"),
        "{status}"
    );
    assert_eq!(refused(&|m| m.model_name = "not-there".into()).await.code(), Code::NotFound);
    assert_eq!(refused(&|m| m.model_name = "../x > *".into()).await.code(), Code::NotFound);
    assert_eq!(refused(&|m| m.model_version = "9".into()).await.code(), Code::NotFound);
    let config = ModelConfigRequest { name: "iris".into(), ..Default::default() };
    let status = client.call::<_, ModelConfigResponse>("ModelConfig", config).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("ModelInfer"), "{status}");
    let mut huge = raw();
    huge.raw_input_contents = vec![vec![0; 17 << 20].into()];
    // The client may see that its stream is reset before it reads the status.
    let status = client.infer(huge).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

async fn messages_may_be_packed(system: &System) {
    let mut client = predictor(system).await;
    client.grpc = client.grpc.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    assert_eq!(client.infer(raw()).await.unwrap().raw_output_contents[1].len(), 72);
    // What is small packed and large unpacked.
    let mut bomb = raw();
    bomb.raw_input_contents = vec![vec![0; 64 << 20].into()];
    let status = client.infer(bomb).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
}

/// What no client sends: by hand.
async fn a_message_that_lies_is_refused(system: &System) {
    let who = system.new_user(&unique("grpc-hand"), "predictor").await.unwrap();
    let url = "/inference.GRPCInferenceService/ModelInfer";
    for (body, code) in [
        (vec![], "3"),
        (vec![0, 0, 0], "3"),
        (vec![0, 0xff, 0xff, 0xff, 0xff, 1, 2], "3"),
        (vec![0, 0, 0, 0, 1, 8, 8], "3"),
        // INTERNAL is what gRPC says of a message that can not be parsed.
        (vec![0, 0, 0, 0, 2, 0xff, 0xff], "13"),
    ] {
        let request = who.apply(system.request(0, Method::POST, url)).header("Content-Type", "application/grpc");
        let answer = system.send(request.header("TE", "trailers").body(body.clone())).await.unwrap();
        assert_eq!((answer.status, answer.header("grpc-status")), (200, code), "{body:?}: {:?}", answer.headers);
        assert_eq!(answer.header("content-type"), "application/grpc");
    }
    let json = who.apply(system.request(0, Method::POST, url)).header("Content-Type", "application/json");
    assert_eq!(system.send(json.body("{}")).await.unwrap().status, 404);
}

const LIMITED: &str = r#"
[[edge.policies]]
name = "infer"
operations = ["infer_model"]
by = "principal"
permits = 3
window = "1m"
"#;

async fn limits_and_deadlines_hold(kind: Kind) {
    let system = private(kind, Options::with_config(LIMITED)).await;
    system.settle().await.unwrap();
    let mut client = predictor(&system).await;
    // A deadline that has passed when the rows are ready to go; by hand, for tonic's client does not wait for the answer.
    let message = prost::Message::encode_to_vec(&matrix());
    let frame = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    let late = system.request(0, Method::POST, "/inference.GRPCInferenceService/ModelInfer");
    let late = late.header("Content-Type", "application/grpc").header("grpc-timeout", "1n").body(frame);
    let late = system.send(client.who.apply(late)).await.unwrap();
    assert_eq!(late.header("grpc-status"), "4", "{:?}", late.headers);
    let mut waiting = Request::new(matrix());
    waiting.set_timeout(Duration::from_secs(20));
    assert!(client.send::<_, ModelInferResponse>("ModelInfer", waiting).await.is_ok());
    let mut short = matrix();
    short.parameters.insert("timeout".into(), parameter(1));
    assert_eq!(client.infer(short).await.unwrap_err().code(), Code::DeadlineExceeded);
    let status = client.infer(matrix()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("policy 'infer'"), "{status}");
    assert!(status.metadata().get("retry-after").is_some(), "{status:?}");
}

fn parameter(microseconds: i64) -> arborgate_edge::grpc::proto::InferParameter {
    use arborgate_edge::grpc::proto::infer_parameter::ParameterChoice;
    arborgate_edge::grpc::proto::InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(microseconds)) }
}

#[test]
fn plain_http2_is_spoken_where_tls_is_off() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let mut server = Program::new(PROGRAM)
            .args(["up", "--listen", "127.0.0.1:0", "--ops-listen", "off", "--data-dir"])
            .arg(data.path())
            .env("ARBORGATE__EDGE__TLS__ENABLED", "false")
            .env("ARBORGATE_ADMIN_PASSWORD", "the password of a test")
            .start()
            .unwrap();
        let url = server.wait_for_line(READY, Duration::from_secs(60)).unwrap();
        let url = url.split_whitespace().last().unwrap().to_owned();
        assert!(url.starts_with("http://"), "{url}");
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        let mut client = Client { grpc: Grpc::new(channel), who: Credential::None };
        let live: ServerLiveResponse = client.call("ServerLive", ServerLiveRequest {}).await.unwrap().into_inner();
        assert!(live.live);
    });
}
