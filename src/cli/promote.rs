//! `sentinel bindings promote`: the walk as it is followed and told.

use super::{
    client::follow,
    confirm, csv,
    failure::Failure,
    json,
    progress::Progress,
    session::{Session, emit, say},
    show::{self, Walked},
};
use crate::admin::api::{PromoteRequest, promote_response::Event};

pub(super) async fn run(session: &Session<'_>, dry_run: bool, yes: bool) -> Result<(), Failure> {
    if !dry_run && confirm::is_needed(yes)? {
        let plan = walk(session, true).await?;
        if !plan.keys.is_empty() {
            confirm::ask(&show::plan(&plan))?;
        }
    }
    let walked = walk(session, dry_run).await?;
    if !walked.end.in_effect {
        say(
            "warning: the changes are stored, but the server could not read them back yet; it follows with its next poll",
        );
    }
    emit(
        session.output,
        || show::promoted(&walked, session.screen),
        || json::promoted(&walked),
        || csv::promoted(&walked),
    )
}

async fn walk(session: &Session<'_>, dry_run: bool) -> Result<Walked, Failure> {
    let (mut observed, mut keys, mut let_through, mut end) = (0, Vec::new(), Vec::new(), None);
    let (progress, verb) = (Progress::new(false), if dry_run { "read" } else { "promoted" });
    let result = follow(
        session.socket,
        async |api| api.promote(PromoteRequest { dry_run }).await,
        |message| match message.event {
            Some(Event::Start(start)) => observed = start.observed,
            Some(Event::Key(key)) => {
                keys.push(key);
                let done = keys.len() as u64;
                if done.is_multiple_of(50) || done == observed {
                    progress.at(format_args!("{verb} {done} of {observed}"));
                }
            }
            Some(Event::LetThrough(key)) => let_through.push(*key),
            Some(Event::End(last)) => end = Some(last),
            None => {}
        },
    )
    .await;
    progress.clear();
    let again = |why: &str| {
        let (told, hint) = match dry_run {
            true => ("keys", ""),
            false => ("changes", "; what is done stays done, and running it again goes on with the rest"),
        };
        let done = keys.iter().filter(|key| dry_run || key.record > 0).count();
        Failure::Unreachable(format!("{why} after it told of {done} {told}{hint}"))
    };
    match (result, end) {
        (Ok(()), Some(end)) => Ok(Walked { dry_run, keys, let_through, end }),
        (Ok(()), None) => Err(again("the server ended its answer")),
        // A change may be made before it is told, so that nothing told does not mean nothing done.
        (Err(Failure::BrokenOff(why)), _) => Err(again(&why)),
        (Err(Failure::Unreachable(why)), _) if !keys.is_empty() => Err(again(&why)),
        (Err(failure), _) => Err(failure),
    }
}
