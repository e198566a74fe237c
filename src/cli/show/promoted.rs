//! What a walk through the observed keys did, or would do.

use super::{
    table::table,
    text::{counted, or_nothing},
    time,
};
use crate::{
    admin::api::{LetThroughKey, PromoteEnd, PromotedKey},
    cli::screen::Screen,
};

/// What a walk told, to its end.
pub(in crate::cli) struct Walked {
    pub(in crate::cli) dry_run: bool,
    pub(in crate::cli) keys: Vec<PromotedKey>,
    /// Of a dry run.
    pub(in crate::cli) let_through: Vec<LetThroughKey>,
    pub(in crate::cli) end: PromoteEnd,
}

/// The question before a walk.
pub(in crate::cli) fn plan(plan: &Walked) -> String {
    let [all, bound, reserved] = [plan.keys.len() as u64, plan.end.bound, plan.end.reserved].map(counted);
    format!(
        "Promote {all}:\n  {bound} that one network used will belong to it\n  {reserved} that several used will be \
         reserved: nobody can use them until `sentinel bindings set`\n`sentinel bindings promote --dry-run` lists them; \
         `sentinel undo` takes back one key at a time."
    )
}

/// Both lists, those that need somebody's eye last.
pub(in crate::cli) fn promoted(walked: &Walked, screen: Screen) -> String {
    let Walked { dry_run, keys: all, end, .. } = walked;
    if all.is_empty() {
        let nothing = "No observed key waits for an owner.\n".to_owned();
        return if *dry_run { nothing + &let_through(walked, screen) + &next(walked) } else { nothing };
    }
    let (would, are) = if *dry_run { ("Would bind", "Would reserve") } else { ("Bound", "Reserved") };
    let mut out = String::new();
    let mut part = |outcome: &str, heading: String| {
        let of_it: Vec<_> = all.iter().filter(|key| key.outcome == outcome).collect();
        if !of_it.is_empty() {
            out.push_str(&heading);
            out.push_str(&rows(&of_it, screen));
        }
    };
    part("skipped", format!("Skipped {}, which got a binding meanwhile:\n", counted(end.skipped)));
    part("bound", format!("{would} {} that one network used:\n", counted(end.bound)));
    part(
        "reserved",
        format!(
            "{are} {} that several networks used; nobody can use {} until you say who:\n",
            counted(end.reserved),
            if end.reserved == 1 { "it" } else { "them" }
        ),
    );
    if *dry_run {
        out.push_str(&let_through(walked, screen));
    }
    out.push_str(&match dry_run {
        true => format!("{} to bind, {} to reserve. Nothing was changed.\n", end.bound, end.reserved),
        false => format!("{} bound, {} reserved, {} skipped.\n", end.bound, end.reserved, end.skipped),
    });
    out + &next(walked)
}

/// Keys that have an owner: promoting does nothing to them, enforcing does.
fn let_through(walked: &Walked, screen: Screen) -> String {
    let all = &walked.let_through;
    if all.is_empty() {
        return "No key that has an owner was let through from elsewhere in the last 24 hours.\n".to_owned();
    }
    let rows = all.iter().flat_map(|it| {
        let key = it.key.clone().unwrap_or_default();
        it.refused.iter().map(move |refused| {
            let owners = key.binding.clone().unwrap_or_default().networks.join(", ");
            let last = time::ago(walked.end.now_ms.saturating_sub(refused.last_at_ms));
            let (network, times) = (refused.network.clone(), refused.would_deny.to_string());
            let [id, hint] = [key.key_id.clone(), or_nothing(&key.hint).to_owned()];
            [id.into(), hint.into(), or_nothing(&owners).into(), network.into(), times.into(), last.into()]
        })
    });
    let more = if walked.end.let_through_cut { "more than " } else { "" };
    let (have, them) = if all.len() == 1 { ("has", "it") } else { ("have", "them") };
    let heading = format!(
        "Would refuse {more}{} that {have} an owner to networks that used {them} in the last 24 hours:\n",
        counted(all.len() as u64)
    );
    heading + &table(["KEY", "HINT", "NETWORKS", "REFUSED", ">TIMES", "LAST"], rows, screen)
}

/// What to do about it.
fn next(walked: &Walked) -> String {
    let Walked { dry_run, let_through, end, .. } = walked;
    let mut out = String::new();
    if end.reserved > 0 || !let_through.is_empty() {
        let when = if *dry_run { "Before or after" } else { "Next" };
        out.push_str(&format!("{when}: sentinel bindings set KEY CIDR...\n"));
    }
    out.push_str(
        "Then set mode = \"enforce\" (in the file it changes live, see \"Changes without a restart\"; \
         SENTINEL_MODE=enforce needs a restart).\n",
    );
    out
}

fn rows(keys: &[&PromotedKey], screen: Screen) -> String {
    let row = |key: &&PromotedKey| {
        [key.key_id.clone().into(), or_nothing(&key.hint).into(), or_nothing(&key.networks.join(", ")).into()]
    };
    table(["KEY", "HINT", "NETWORKS"], keys.iter().map(row), screen)
}
