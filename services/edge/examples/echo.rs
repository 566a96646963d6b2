//! The bare floor that `cargo xtask bench edge` compares with: poem-openapi answering JSON over TLS, and nothing else.
//! Prints its address; runs until it is killed.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench's server, not a service")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, EndpointExt, IntoEndpoint};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi, OpenApiService};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Object)]
struct Row {
    sepal_length: f64,
    sepal_width: f64,
    petal_length: f64,
    petal_width: f64,
}

struct Api;

#[OpenApi]
impl Api {
    #[oai(path = "/predict", method = "post")]
    async fn echo(&self, row: Json<Row>) -> Json<Row> {
        row
    }
}

#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).unwrap();
    arborgate_runtime::tls::install_provider().unwrap();
    let (cert, key) = (Path::new(&dir).join("server.pem"), Path::new(&dir).join("server.key"));
    let config = arborgate_runtime::tls::server_config(&cert, &key, &[b"h2", b"http/1.1"]).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let endpoint = Arc::new(OpenApiService::new(Api, "echo", "1").into_endpoint().map_to_response().boxed());
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    println!("arborgate is ready at https://{}", listener.local_addr().unwrap());
    loop {
        let (stream, address) = listener.accept().await.unwrap();
        let (acceptor, endpoint) = (acceptor.clone(), Arc::clone(&endpoint));
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let endpoint = Arc::clone(&endpoint);
                async move {
                    let at = Addr::SocketAddr(address);
                    let parts = (request, LocalAddr(at.clone()), RemoteAddr(at), http::uri::Scheme::HTTPS);
                    let response = endpoint.call(poem::Request::from(parts)).await;
                    let response = response.unwrap_or_else(|error| error.into_response());
                    Ok::<_, std::convert::Infallible>(hyper::Response::from(response))
                }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
