//! How often a decision asks for memory. More is slower, and an accident is not seen in a benchmark of a busy machine.

use allocation_counter::measure;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::service::Service;

use crate::{
    common::{Answer, check::CHECK, grpc::frame},
    corpus,
    frame::Parts,
    runtime,
    scene::{SCENES, Stage},
};

/// The allocations of one call, from its request to the last frame of its answer, and the answer's reason.
fn allocations(runtime: &tokio::runtime::Runtime, stage: &Stage, message: &[u8]) -> (u64, String) {
    let request = Request::post(CHECK).header("content-type", "application/grpc");
    let request = request.body(Full::new(frame(message))).unwrap();
    let mut frames = Vec::with_capacity(4);
    let counted = measure(|| {
        runtime.block_on(async {
            let Ok(response) = stage.server.call(request).await;
            let mut body = response.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                frames.push(frame);
            }
        });
    });
    let message: Vec<u8> = frames.into_iter().filter_map(|frame| frame.into_data().ok()).flatten().collect();
    (counted.count_total, Answer::read(&message[5..]).unwrap().reason().to_owned())
}

#[test]
fn a_decision_by_the_cache_allocates_little() {
    let scene = SCENES.iter().find(|scene| scene.rules.source == "peer" && scene.rules.token.is_none()).unwrap();
    let runtime = runtime();
    let _inside = runtime.enter();
    let stage = Stage::new(&scene.config());
    let mut parts = Parts::of(&corpus::frames(scene.rules.profile)[0]).unwrap();
    let mut ask = |ip| {
        parts.set_peer(ip, 9);
        allocations(&runtime, &stage, &parts.frame())
    };
    // The first answers of their kind make templates.
    ask("203.0.113.7");
    ask("203.0.113.7");
    ask("203.0.113.8");
    // The key's text, the answer, its header and its trailer: each map of headers has two parts.
    assert_eq!(ask("203.0.113.7"), (6, "bound".to_owned()));
    assert_eq!(ask("203.0.113.8"), (6, "ip_mismatch".to_owned()));
}
