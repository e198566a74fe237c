//! The Check messages that the generator sends: one real message for each kind of client, with two holes of a fixed
//! length, for the key and for the client's address.

use envoy_types::pb::envoy::{
    config::core::v3::{Address, HeaderMap, HeaderValue, SocketAddress, address::Address::SocketAddress as Socket},
    service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Peer, Request},
    },
};
use prost::Message;

/// What every address is replaced by; 15 bytes.
const ADDRESS: &str = "130.100.100.100";

/// The key's number, in 10 digits.
const NUMBER: &str = "0000000000";

impl Client {
    pub(crate) const ALL: [Self; 2] = [Self::OpenAi, Self::ApiKey];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI client, 22 headers, raw encoding",
            Self::ApiKey => "Browser, 13 headers, joined encoding",
        }
    }
}

/// The client that a frame is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// openai-python 2.
    OpenAi,
    /// The frame of the peers' figures.
    ApiKey,
}

fn http(client: Client) -> HttpRequest {
    let key = format!("sk-{NUMBER}abcdefghijABCDEFGHIJ0123456789abcdefgh");
    let headers: Vec<(&str, String)> = match client {
        Client::OpenAi => [
            (":authority", "api.example.com"),
            (":path", "/v1/chat/completions"),
            (":method", "POST"),
            (":scheme", "https"),
            ("accept-encoding", "gzip, deflate"),
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("user-agent", "OpenAI/Python 2.8.1"),
            ("x-stainless-lang", "python"),
            ("x-stainless-package-version", "2.8.1"),
            ("x-stainless-os", "Linux"),
            ("x-stainless-arch", "x64"),
            ("x-stainless-runtime", "CPython"),
            ("x-stainless-runtime-version", "3.11.2"),
            ("authorization", ""),
            ("x-stainless-async", "false"),
            ("x-stainless-retry-count", "0"),
            ("x-stainless-read-timeout", "600"),
            ("content-length", "118"),
            ("x-forwarded-for", ADDRESS),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "74a89bca-b8df-4573-9a93-8e2094987b7e"),
        ]
        .map(|(name, value)| match name {
            "authorization" => (name, format!("Bearer {key}")),
            _ => (name, value.to_owned()),
        })
        .to_vec(),
        Client::ApiKey => [
            ("x-forwarded-for", ADDRESS),
            ("accept", "application/json, text/plain, */*"),
            ("authorization", ""),
            ("x-request-id", "edfc12bc-e47a-4d6a-a56b-946b02d62144"),
            (":scheme", "http"),
            ("x-envoy-external-address", ADDRESS),
            (":authority", "api.example.com"),
            (":method", "GET"),
            (
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0 Safari/537.36",
            ),
            ("x-forwarded-proto", "http"),
            (":path", "/v1/orders/12345?expand=items"),
            ("accept-encoding", "gzip, deflate, br"),
            ("accept-language", "en-US,en;q=0.9"),
        ]
        .map(|(name, value)| match name {
            "authorization" => (name, format!("Bearer {key}")),
            _ => (name, value.to_owned()),
        })
        .to_vec(),
    };
    let path = headers.iter().find(|(name, _)| *name == ":path").expect("a path").1.clone();
    let method = headers.iter().find(|(name, _)| *name == ":method").expect("a method").1.clone();
    let request = HttpRequest {
        id: "13780503226920256257".to_owned(),
        method,
        path,
        host: "api.example.com".to_owned(),
        scheme: "http".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        ..HttpRequest::default()
    };
    match client {
        Client::OpenAi => {
            let raw = headers.into_iter().map(|(name, value)| HeaderValue {
                key: name.to_owned(),
                raw_value: value.into_bytes(),
                ..HeaderValue::default()
            });
            HttpRequest { header_map: Some(HeaderMap { headers: raw.collect() }), ..request }
        }
        Client::ApiKey => HttpRequest {
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ..request
        },
    }
}

fn peer(address: &str, port: u32) -> Option<Peer> {
    let socket = SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    Some(Peer { address: Some(Address { address: Some(Socket(socket)) }), ..Peer::default() })
}

/// A whole gRPC message of this client.
pub(crate) fn message(client: Client) -> Vec<u8> {
    let time = envoy_types::pb::google::protobuf::Timestamp { seconds: 1_795_000_000, nanos: 62_390_000 };
    let check = CheckRequest {
        attributes: Some(AttributeContext {
            source: peer(ADDRESS, 40_000),
            destination: peer("10.9.9.9", 443),
            request: Some(Request { time: Some(time), http: Some(http(client)) }),
            metadata_context: Some(Default::default()),
            route_metadata_context: Some(Default::default()),
            ..AttributeContext::default()
        }),
    };
    let message = check.encode_to_vec();
    let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
    [&[0][..], &length, &message].concat()
}

/// The order in which keys are drawn.
#[derive(Clone, Debug)]
pub(crate) enum Draw {
    /// By Zipf's law with exponent 0.99, over this many keys.
    Zipf(u32),
    /// Each key once, from this number on.
    Each(u32),
}

/// Which address uses a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Owner,
    /// An address that owns another key.
    Stranger,
}

/// An endless sequence of messages.
pub(crate) struct Frames {
    message: Vec<u8>,
    numbers: Vec<usize>,
    addresses: Vec<usize>,
    from: From,
    order: std::sync::Arc<Vec<u32>>,
    each: bool,
    at: usize,
    step: usize,
}

impl Frames {
    pub(crate) fn new(client: Client, draw: &Draw, from: From) -> Self {
        let message = message(client);
        let find = |text: &str| {
            let windows = message.windows(text.len()).enumerate();
            windows.filter(|(_, part)| *part == text.as_bytes()).map(|(at, _)| at).collect::<Vec<_>>()
        };
        let (numbers, addresses) = (find(NUMBER), find(ADDRESS));
        assert!(numbers.len() == 1 && !addresses.is_empty());
        let (order, each, at) = match *draw {
            Draw::Zipf(keys) => (zipf(keys), false, 0),
            Draw::Each(first) => (Vec::new(), true, first as usize),
        };
        Self { message, numbers, addresses, from, order: order.into(), each, at, step: 1 }
    }

    /// The `part`th of `parts` sequences that together have the messages of this one, for connections of their own.
    pub(crate) fn part(&self, part: usize, parts: usize) -> Self {
        let (at, step) = if self.each { (self.at + part, parts) } else { (self.order.len() / parts * part, 1) };
        Self {
            message: self.message.clone(),
            numbers: self.numbers.clone(),
            addresses: self.addresses.clone(),
            order: std::sync::Arc::clone(&self.order),
            at,
            step,
            ..*self
        }
    }

    pub(crate) fn peek(&self) -> &[u8] {
        &self.message
    }

    pub(crate) fn next(&mut self) -> &[u8] {
        let key = if self.each { self.at } else { self.order[self.at % self.order.len()] as usize };
        self.at += self.step;
        let owner = if self.from == From::Owner { key } else { key + 7 };
        for at in &self.numbers {
            digits(&mut self.message[*at..*at + NUMBER.len()], key);
        }
        let (mut rest, mut address) = (owner, [0; 4]);
        for (octet, count) in address.iter_mut().rev().zip([156, 156, 156, 8]) {
            *octet = rest % count + 100;
            rest /= count;
        }
        address[0] += 30;
        for at in &self.addresses {
            for (octet, number) in address.into_iter().enumerate() {
                digits(&mut self.message[at + octet * 4..at + octet * 4 + 3], number);
            }
        }
        &self.message
    }
}

fn digits(text: &mut [u8], mut number: usize) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A million draws with a fixed seed, so that every server has the same sequence.
pub(crate) fn zipf(keys: u32) -> Vec<u32> {
    let mut sum = 0.0;
    let cumulated: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += f64::from(rank).powf(-0.99);
            sum
        })
        .collect();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let draw = |point: f64| u32::try_from(cumulated.partition_point(|sum| *sum < point)).expect("few keys");
    (0..1 << 20).map(|_| draw(random() * sum).min(keys - 1)).collect()
}
