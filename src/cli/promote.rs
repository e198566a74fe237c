//! `sentinel bindings promote`.

use super::{
    client::follow,
    confirm, csv,
    failure::Failure,
    json,
    progress::Progress,
    session::{Session, emit, warn_if_pending},
    show::{self, Promotion},
};
use crate::admin::api::{PromoteRequest, promote_response::Event};

pub(super) async fn run(session: &Session<'_>, dry_run: bool, yes: bool) -> Result<(), Failure> {
    if !dry_run && confirm::is_needed(yes)? {
        let plan = promote(session, true).await?;
        if !plan.keys.is_empty() {
            confirm::ask(&show::promotion_question(&plan))?;
        }
    }
    let promotion = promote(session, dry_run).await?;
    warn_if_pending(promotion.end.in_effect);
    emit(
        session.output,
        || show::promoted(&promotion, session.screen),
        || json::promoted(&promotion),
        || csv::promoted(&promotion),
    )
}

async fn promote(session: &Session<'_>, dry_run: bool) -> Result<Promotion, Failure> {
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
    let interrupted = |why: &str| {
        let (reported, hint) = match dry_run {
            true => ("keys", ""),
            false => ("changes", "; these changes are stored; run the command again to promote the remaining keys"),
        };
        let done = keys.iter().filter(|key| dry_run || key.record > 0).count();
        Failure::Unreachable(format!("{why}; {done} {reported} were reported before{hint}"))
    };
    match (result, end) {
        (Ok(()), Some(end)) => Ok(Promotion { dry_run, keys, let_through, end }),
        (Ok(()), None) => Err(interrupted("the server ended its answer early")),
        // Also without a reported change: the server stores a change before it reports it.
        (Err(Failure::BrokenOff(why)), _) => Err(interrupted(&why)),
        (Err(Failure::Unreachable(why)), _) if !keys.is_empty() => Err(interrupted(&why)),
        (Err(failure), _) => Err(failure),
    }
}
