//! Frames of the real Envoy, kept in `corpus/`: what mutations start from.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use envoy_types::pb::{
    envoy::service::auth::v3::{CheckResponse, OkHttpResponse, check_response::HttpResponse},
    google::rpc::Status,
};
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpListener;

use crate::{
    common::{
        check::CHECK,
        envoy::EnvoyConfig,
        eventually,
        grpc::{Target, frame},
        http_client::Version,
        upstream::Upstream,
    },
    frame::Parts,
    keys,
    scene::SCENES,
};

fn directory() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fuzz", "corpus"].iter().collect()
}

/// The frames recorded for this profile, in the order of their names.
pub(crate) fn frames(profile: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_stem().unwrap().to_str().unwrap().rsplitn(4, '.').nth(3) == Some(profile));
    files.sort();
    assert!(files.len() >= 8, "{profile}: record the corpus with SENTINEL_FUZZ_RECORD=1");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// The requests that are recorded for a profile: one for each carrier, with what clients send in addition to a key.
fn requests(profile: &str, [k, l]: [&str; 2]) -> Vec<(String, Vec<(&'static str, String)>)> {
    let bearer = ("authorization", format!("Bearer {k}"));
    let token = ("authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhcGkifQ.c2ln".to_owned());
    let bare = |name| (name, k.to_owned());
    let socket = vec![
        ("sec-websocket-protocol", format!("realtime, openai-insecure-api-key.{k}, openai-beta.realtime-v1")),
        ("origin", "https://app.example.com".to_owned()),
    ];
    let own: Vec<(&str, Vec<(&'static str, String)>)> = match profile {
        "generic" => vec![("/v1/models", vec![bare("x-api-key")]), ("/v1/models", vec![bare("api-key")])],
        "anthropic" => vec![("/v1/messages", vec![bare("x-api-key"), ("anthropic-version", "2023-06-01".to_owned())])],
        "azure-openai" => vec![
            ("/openai/v1/chat/completions?api-version=preview", vec![bare("api-key")]),
            ("/openai/realtime?api-key={k}&deployment=d", vec![]),
            ("/apim/x?subscription-key={k}", vec![bare("ocp-apim-subscription-key")]),
            ("/apim/x", vec![bare("ocp-apim-subscription-key"), token.clone(), ("api-key", "null".to_owned())]),
        ],
        "gemini" => vec![
            ("/v1beta/models/g:generateContent", vec![bare("x-goog-api-key")]),
            ("/v1beta/models/g:generateContent?key={k}&alt=sse", vec![]),
            ("/v1beta/models?%24key={k}", vec![]),
        ],
        "one-api" => vec![("/v1/models", vec![("authorization", format!("sk-{k}-12"))])],
        "new-api" => vec![
            ("/v1/messages", vec![bare("x-api-key"), ("authorization", format!("Bearer {l}"))]),
            ("/mj/submit", vec![bare("mj-api-secret"), ("authorization", "Bearer midjourney-proxy".to_owned())]),
            ("/v1beta/models/g:generateContent?key={k}", vec![]),
        ],
        "litellm" => vec![
            ("/v1/messages", vec![bare("x-litellm-api-key"), ("authorization", format!("Bearer {l}"))]),
            ("/v1/messages", vec![bearer.clone(), ("x-api-key", l.to_owned())]),
            ("/key/info?key={l}", vec![bearer.clone()]),
            ("/gemini/x?key={k}", vec![bare("x-goog-api-key")]),
            ("/langfuse/x", vec![("authorization", format!("Basic {}", keys::base64(format!("pk:{k}").as_bytes())))]),
            ("/github_mcp/mcp", vec![bare("x-litellm-api-key"), token.clone()]),
            ("/vertex_ai/v1/x", vec![bare("x-litellm-api-key"), ("authorization", format!("Bearer {l}"))]),
            (
                "/anthropic/v1/messages",
                vec![bare("x-litellm-api-key"), token.clone(), ("x-api-key", "sk-ant-api03-x".to_owned())],
            ),
        ],
        "acme" => vec![
            ("/acme?token={k}", vec![]),
            ("/acme", vec![("cookie", format!("a=1; acme_token={k}; b=2"))]),
            ("/acme", vec![bare("x-acme-key"), ("x-acme-auth", format!("Bearer acme_{k}"))]),
        ],
        "sanctum" => vec![
            ("/api/self", vec![("authorization", format!("Bearer 12|{k}"))]),
            ("/api/self?token=12|{k}", vec![]),
            ("/api/self", vec![("x-api-key", format!("12|{k}")), ("authorization", format!("Bearer {k}"))]),
        ],
        "supa" => vec![
            ("/rest/v1/todos?select=*", vec![bare("apikey"), token.clone()]),
            ("/auth/v1/user", vec![bare("apikey"), token.clone()]),
            ("/rest/v1/todos", vec![bare("apikey"), ("authorization", format!("Bearer {l}"))]),
        ],
        "desk" => vec![
            ("/desk", vec![("authorization", format!("Token {k}"))]),
            ("/desk?token={k}", vec![("authorization", format!("ApiKey {k}"))]),
            ("/desk", vec![("x-desk-login", format!("Basic {}", keys::base64(format!("api:{k}").as_bytes())))]),
            ("/desk", vec![("x-desk-user", format!("Basic {}", keys::base64(format!("{k}:").as_bytes())))]),
        ],
        "php" => vec![
            ("/index.php?api_key={k}", vec![]),
            ("/index.php?a[]=1&api_key={k}", vec![("cookie", "PHPSESSID=0; a%5Fb=1".to_owned())]),
            ("/index.php", vec![("cookie", format!("a=1; php.key={k}"))]),
        ],
        _ => vec![],
    };
    let own = own.into_iter().map(|(path, headers)| (path.replace("{k}", k).replace("{l}", l), headers));
    let every = [
        ("/v1/chat/completions".to_owned(), vec![bearer]),
        ("/v1/realtime?model=m".to_owned(), socket),
        ("/anonymous?a=1&b=%20c".to_owned(), vec![("cookie", "session=1; theme=dark".to_owned())]),
        (
            "/overridden".to_owned(),
            vec![("authorization", format!("Bearer {k}")), ("x-forwarded-for", "1.2.3.4".into())],
        ),
    ];
    every.into_iter().chain(own).collect()
}

/// Allows everything and keeps what it was asked.
async fn recorder() -> (Target, Arc<Mutex<Vec<Bytes>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let kept: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let keep = Arc::clone(&kept);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let keep = Arc::clone(&keep);
            let service = service_fn(move |request: Request<Incoming>| {
                let keep = Arc::clone(&keep);
                async move {
                    // Envoy asks each second whether this server is well, too.
                    let is_check = request.uri().path() == CHECK;
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    if is_check {
                        keep.lock().unwrap().push(body.slice(5..));
                    }
                    let allow = CheckResponse {
                        status: Some(Status::default()),
                        http_response: Some(HttpResponse::OkResponse(OkHttpResponse::default())),
                        ..CheckResponse::default()
                    };
                    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                    let frames = [Frame::data(frame(&allow.encode_to_vec())), Frame::trailers(trailers)];
                    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
                    let response = Response::builder().header("content-type", "application/grpc").body(body);
                    Ok::<_, Infallible>(response.unwrap())
                }
            });
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
        }
    });
    (address.into(), kept)
}

/// What two recordings of one request have in common: its encoding, and its lines but for those that Envoy makes up.
fn shape(frame: &[u8]) -> (bool, Vec<(String, Vec<u8>)>) {
    let mut parts = Parts::of(frame).unwrap();
    let made_up = ["x-request-id", ":authority", "x-forwarded-for", "x-envoy-internal", "x-envoy-external-address"];
    parts.lines.retain(|(name, _)| !made_up.contains(&name.as_str()));
    parts.lines.sort();
    (matches!(parts.encoding, crate::frame::Encoding::Raw), parts.lines)
}

/// With `SENTINEL_FUZZ_RECORD` set the corpus is written anew.
#[tokio::test]
async fn the_corpus_is_what_envoy_sends() {
    let record = std::env::var_os("SENTINEL_FUZZ_RECORD").is_some();
    let profiles: BTreeSet<_> = SCENES.iter().map(|scene| (scene.rules.profile, scene.keys)).collect();
    let upstream = Upstream::start().await;
    for encoding in ["raw", "joined"] {
        let (checks, kept) = recorder().await;
        let config = EnvoyConfig::shipped().patient().with_route_extension("sentinel.missing", "allow");
        let config = if encoding == "raw" { config } else { config.joined_headers() };
        let envoy = config.start_asking(&checks, &upstream).await;
        for (profile, pair) in &profiles {
            for (nth, (path, headers)) in requests(profile, *pair).into_iter().enumerate() {
                for version in Version::BOTH {
                    let call = envoy.call(version, &path);
                    let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
                    assert_eq!(call.send().await.status, 200, "{profile} {path}");
                    let frame = eventually("Envoy asks", async || kept.lock().unwrap().pop()).await;
                    let file = directory().join(format!("{profile}.{nth}.{version:?}.{encoding}.bin"));
                    if record {
                        fs::write(&file, &frame).unwrap();
                    }
                    let known = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                    assert_eq!(shape(&frame), shape(&known), "{}", file.display());
                }
            }
        }
    }
}
