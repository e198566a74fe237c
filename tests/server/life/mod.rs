//! The life of a binding, over the wire, on the real server.

mod archive;
mod limits;
mod modes;
mod shapes;

use crate::common::{Sentinel, answer::Answer};

const KEY: &str = "sk-life-0123456789abcdef";

/// What a request with `key` from `ip` is answered.
async fn ask(sentinel: &Sentinel, key: &str, ip: &str) -> Answer {
    sentinel.check().key(key).from(ip).send().await
}

/// The reason of that answer.
async fn reason(sentinel: &Sentinel, key: &str, ip: &str) -> String {
    ask(sentinel, key, ip).await.reason().to_owned()
}

/// Whether the answer is allowed only because the mode is `observe`.
fn would_deny(answer: &Answer) -> bool {
    answer.flag("would_deny")
}
