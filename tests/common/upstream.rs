//! An upstream that remembers what reached it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The head of a request that reached the upstream.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

impl Head {
    /// Every line of this header, in order.
    pub(crate) fn lines(&self, name: &str) -> Vec<&[u8]> {
        self.headers.get_all(name).iter().map(|value| value.as_bytes()).collect()
    }
}

/// Answers 200 to everything.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<Head>>>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let seen = seen.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let (head, _) = request.into_parts();
                    let (method, path) = (head.method.to_string(), head.uri.to_string());
                    seen.lock().unwrap().push(Head { method, path, headers: head.headers });
                    async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"upstream\n")))) }
                });
                let mut server = http1::Builder::new();
                server.max_buf_size(1 << 20).max_headers(200);
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, heads }
    }

    /// What has arrived since the last call. A request is remembered before it is answered.
    pub(crate) fn take(&self) -> Vec<Head> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }
}
