//! From which of its two places in a Check the path is read.

use crate::{
    common::{Encoding, sentinel},
    realms::Realm,
};

const OWNER: &str = "203.0.113.7";

/// Envoy shows each byte that is not UTF-8 as `!` in `http.path`; only the raw pseudo-header is what the upstream gets.
#[tokio::test]
async fn the_raw_path_is_the_one_that_counts() {
    let sentinel = sentinel().set("credentials.profile", "\"gemini\"").start().await;
    let k = Realm::named("gemini").k;
    let check = || sentinel.check().path(&format!("/x?key={k}")).from(OWNER);
    for encoding in Encoding::BOTH {
        let answer = check().encoding(encoding).send().await;
        assert!(answer.is_allow(), "{encoding:?}: {}", answer.reason());
    }
    let mut message = check().message();
    http(&mut message).path = "/x".to_owned();
    assert_eq!(check().send_message(&message).await.reason(), "bound", "the raw path has the key");

    let mut joined = check().encoding(Encoding::Joined).message();
    http(&mut joined).headers.remove(":path");
    assert_eq!(check().send_message(&joined).await.reason(), "bound", "`allowed_headers` drops the pseudo-header");

    let mut twice = check().message();
    let lines = &mut http(&mut twice).header_map.as_mut().unwrap().headers;
    let path = lines.iter().find(|line| line.key == ":path").unwrap().clone();
    lines.push(path);
    assert_eq!(check().send_message(&twice).await.reason(), "malformed_request", "two paths");
}

fn http(
    message: &mut envoy_types::pb::envoy::service::auth::v3::CheckRequest,
) -> &mut envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest {
    message.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap()
}
