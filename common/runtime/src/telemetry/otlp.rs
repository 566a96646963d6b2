//! The export of spans to a collector: OTLP over HTTP with protobuf, from a thread of the SDK's own, through a bounded
//! queue that drops what does not fit.

use std::collections::HashMap;
use std::thread;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use super::OtlpConfig;
use crate::{Error, files};

/// Where a collector takes spans, below its base address (OTLP specification, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";
const CA_LIMIT: u64 = 1024 * 1024;

/// None where no endpoint is configured.
pub(super) fn provider(config: &OtlpConfig, service: &str, instance: &str) -> Result<Option<SdkTracerProvider>, Error> {
    let Some(endpoint) = &config.endpoint else { return Ok(None) };
    let endpoint = endpoint_url(endpoint)?;
    if !(0.0..=1.0).contains(&config.sample_ratio) {
        let reason = format!("{} is not between 0 and 1", config.sample_ratio);
        return Err(Error::Otlp { key: "sample_ratio", reason });
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client(config, &endpoint)?)
        .with_endpoint(endpoint)
        .with_timeout(config.timeout.get())
        .with_headers(headers(config)?)
        .build()
        .map_err(|error| Error::Exporter(Box::new(error)))?;
    let name = config.service_name.clone().unwrap_or_else(|| service.to_owned());
    let resource = Resource::builder()
        .with_service_name(name)
        .with_attributes([
            KeyValue::new("service.namespace", "arborgate"),
            KeyValue::new("service.instance.id", instance.to_owned()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio))))
        .with_batch_exporter(exporter)
        .build();
    Ok(Some(provider))
}

/// Exports this system's own spans only: those of the HTTP client would be made by exporting, without end.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("arborgate"))
        .with_location(false)
        .with_threads(false)
        .with_filter(Targets::new().with_target("arborgate", LevelFilter::INFO))
}

fn endpoint_url(endpoint: &str) -> Result<String, Error> {
    let wrong = |reason: &str| Error::Otlp { key: "endpoint", reason: format!("{endpoint:?} {reason}") };
    let url = reqwest::Url::parse(endpoint).map_err(|_| wrong("is no URL such as http://collector:4318"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("is not an http or https URL with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let reason = "must hold no user or password: set telemetry.otlp.headers".to_owned();
        return Err(Error::Otlp { key: "endpoint", reason });
    }
    let base = endpoint.trim_end_matches('/');
    Ok(if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") })
}

fn headers(config: &OtlpConfig) -> Result<HashMap<String, String>, Error> {
    let headers = config.headers.iter().map(|(name, value)| {
        let legal = http::HeaderName::try_from(name).is_ok() && http::HeaderValue::try_from(value.expose()).is_ok();
        let reason = || format!("{name:?} or its value can not stand in an HTTP request");
        legal
            .then(|| (name.clone(), value.expose().to_owned()))
            .ok_or_else(|| Error::Otlp { key: "headers", reason: reason() })
    });
    headers.collect()
}

fn client(config: &OtlpConfig, endpoint: &str) -> Result<reqwest::blocking::Client, Error> {
    let failed = |error: reqwest::Error| Error::Exporter(Box::new(error));
    let mut builder =
        reqwest::blocking::Client::builder().timeout(config.timeout.get()).redirect(reqwest::redirect::Policy::none());
    if let Some(path) = &config.ca_cert {
        let certificates =
            reqwest::Certificate::from_pem_bundle(&files::read_bounded(path, CA_LIMIT)?).map_err(failed)?;
        builder = builder.tls_certs_only(certificates);
    } else if endpoint.starts_with("http:") {
        // a small image may have no certificates of authorities to load
        builder = builder.tls_certs_only([]);
    }
    // it may not be made on a thread of an asynchronous runtime
    match thread::spawn(move || builder.build()).join() {
        Ok(client) => client.map_err(failed),
        Err(_) => Err(Error::Exporter("the HTTP client's thread ended".into())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry::trace::Tracer as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::tls;

    #[test]
    fn an_endpoint_is_a_base_or_the_whole_address() {
        for (given, wanted) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("https://collector.example/otlp/", "https://collector.example/otlp/v1/traces"),
            ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/traces"),
        ] {
            assert_eq!(endpoint_url(given).unwrap(), wanted);
        }
        for wrong in ["", "collector:4318", "ftp://collector", "http://", "http://user:hunter2@collector"] {
            let error = endpoint_url(wrong).unwrap_err().to_string();
            assert!(error.starts_with("telemetry.otlp.endpoint: ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_can_not_be_exported_is_refused_at_the_start() {
        let config = |edit: fn(&mut OtlpConfig)| {
            let mut config = OtlpConfig { endpoint: Some("http://127.0.0.1:1".to_owned()), ..OtlpConfig::default() };
            edit(&mut config);
            provider(&config, "service", "instance")
        };
        assert!(config(|config| config.endpoint = None).unwrap().is_none());
        let error = config(|config| config.sample_ratio = 1.5).unwrap_err();
        assert!(matches!(error, Error::Otlp { key: "sample_ratio", .. }));
        let error = config(|config| drop(config.headers.insert("key".to_owned(), "hunter\n2".into()))).unwrap_err();
        assert!(matches!(error, Error::Otlp { key: "headers", .. }));
        assert!(!error.to_string().contains("hunter"));
    }

    /// One request over TLS: its head, answered with 200.
    async fn receive(listener: TcpListener, tls: TlsAcceptor) -> String {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = tls.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            return String::from_utf8(head).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_collector_is_reached_over_tls_by_whom_it_is_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let paths = tls::ensure_dev_material(dir.path(), &[]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let server = tls::server_config(&paths.cert, &paths.key, &[]).unwrap();
        let received = tokio::spawn(receive(listener, TlsAcceptor::from(Arc::new(server))));
        let other = tls::ensure_dev_material(&dir.path().join("other"), &[]).unwrap();
        for (ca_cert, trusted) in [(other.ca_cert, false), (paths.ca_cert, true)] {
            let config =
                OtlpConfig { endpoint: Some(endpoint.clone()), ca_cert: Some(ca_cert), ..OtlpConfig::default() };
            let provider = provider(&config, "service", "instance").unwrap().unwrap();
            drop(provider.tracer("test").start("span"));
            let flushed = tokio::task::spawn_blocking(move || provider.force_flush()).await.unwrap();
            assert_eq!(flushed.is_ok(), trusted, "{flushed:?}");
        }
        assert!(received.await.unwrap().starts_with("POST /v1/traces HTTP/1.1\r\n"));
    }
}
