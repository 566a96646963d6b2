//! Requests that are refused before their body was read. (That h2 bears many of them, `failure` shows: NATS away, all are.)

use std::convert::Infallible;

use arborgate_testkit::system::{Credential, System};
use bytes::Bytes;
use reqwest::{Body, Certificate, Client, Method};

use crate::support::{on_both_buses, problem};

on_both_buses!(who_still_sends_hears_the_refusal);

const UPLOAD: &str = "/v1/models/never/versions/1";

/// HTTP/1.1: the client writes all of its body before it reads.
async fn who_still_sends_hears_the_refusal(system: &System) {
    let ca = Certificate::from_pem(&std::fs::read(system.ca()).unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([ca]).http1_only().build().unwrap();
    let large = Bytes::from(vec![b'x'; 24 << 20]);
    let admin = system.admin().await.unwrap();
    let wrong = Credential::Bearer("a.b.c".to_owned());
    for (who, path, content_type, status) in [
        (&wrong, UPLOAD, "application/octet-stream", 401),
        (&admin, UPLOAD, "text/plain", 415),
        (&admin, "/v1/models/iris/predict", "application/json", 413),
        (&admin, "/nothing/here", "application/octet-stream", 404),
    ] {
        let pieces = large.chunks(64 << 10).map(|piece| Ok::<_, Infallible>(large.slice_ref(piece)));
        let chunked = Body::wrap_stream(futures_util::stream::iter(pieces.collect::<Vec<_>>()));
        for body in [Body::from(large.clone()), chunked] {
            let method = if path == UPLOAD { Method::PUT } else { Method::POST };
            let request = client.request(method, format!("{}{path}", system.edge(0)));
            let request = who.apply(request.header("Content-Type", content_type)).body(body);
            problem(&system.send(request).await.unwrap(), status);
        }
    }
}
