//! The result of `bindings promote`, or of its dry run.

use super::{
    table::table,
    text::{counted, or_nothing},
    time,
};
use crate::{
    admin::api::{LetThroughKey, PromoteEnd, PromotedKey},
    cli::screen::Screen,
};

/// All that the server reported.
pub(in crate::cli) struct Promotion {
    pub(in crate::cli) dry_run: bool,
    pub(in crate::cli) keys: Vec<PromotedKey>,
    /// Filled in by a dry run only.
    pub(in crate::cli) let_through: Vec<LetThroughKey>,
    pub(in crate::cli) end: PromoteEnd,
}

/// The question before a promotion.
pub(in crate::cli) fn promotion_question(plan: &Promotion) -> String {
    let [all, bound, reserved] = [plan.keys.len() as u64, plan.end.bound, plan.end.reserved].map(counted);
    format!(
        "Promote {all}:\n  {bound} that only one network used: that network will own the key\n  {reserved} that \
         several networks used: reserved, every client is denied until `sentinel bindings set`\n\
         `sentinel bindings promote --dry-run` lists them. `sentinel undo` reverses one key at a time."
    )
}

/// The lists of keys. The keys that need a decision of an operator come last.
pub(in crate::cli) fn promoted(promotion: &Promotion, screen: Screen) -> String {
    let Promotion { dry_run, keys: all, end, .. } = promotion;
    if all.is_empty() {
        let nothing = "There are no observed keys to promote.\n".to_owned();
        return if *dry_run { nothing + &let_through(promotion, screen) + &next(promotion) } else { nothing };
    }
    let (would, are) = if *dry_run { ("Would bind", "Would reserve") } else { ("Bound", "Reserved") };
    let mut out = String::new();
    let mut part = |outcome: &str, heading: String| {
        let selected: Vec<_> = all.iter().filter(|key| key.outcome == outcome).collect();
        if !selected.is_empty() {
            out.push_str(&heading);
            out.push_str(&rows(&selected, screen));
        }
    };
    part("skipped", format!("Skipped {}, bound by another change:\n", counted(end.skipped)));
    part("bound", format!("{would} {} that only one network used:\n", counted(end.bound)));
    part(
        "reserved",
        format!(
            "{are} {} that several networks used; every client is denied until you name the owner{}:\n",
            counted(end.reserved),
            if end.reserved == 1 { "" } else { "s" }
        ),
    );
    if *dry_run {
        out.push_str(&let_through(promotion, screen));
    }
    out.push_str(&match dry_run {
        true => format!("{} to bind, {} to reserve. Nothing was changed.\n", end.bound, end.reserved),
        false => format!("{} bound, {} reserved, {} skipped.\n", end.bound, end.reserved, end.skipped),
    });
    out + &next(promotion)
}

/// Keys with an owner that other networks use. Promoting does not change them; mode = "enforce" denies those networks.
fn let_through(promotion: &Promotion, screen: Screen) -> String {
    let all = &promotion.let_through;
    if all.is_empty() {
        return "No other network was allowed a key with an owner in the last 24 hours.\n".to_owned();
    }
    let rows = all.iter().flat_map(|it| {
        let key = it.key.clone().unwrap_or_default();
        it.refused.iter().map(move |refused| {
            let owners = key.binding.clone().unwrap_or_default().networks.join(", ");
            let last = time::ago(promotion.end.now_ms.saturating_sub(refused.last_at_ms));
            let (network, times) = (refused.network.clone(), refused.would_deny.to_string());
            let [id, hint] = [key.key_id.clone(), or_nothing(&key.hint).to_owned()];
            [id.into(), hint.into(), or_nothing(&owners).into(), network.into(), times.into(), last.into()]
        })
    });
    let more = if promotion.end.let_through_cut { "more than " } else { "" };
    let heading = format!(
        "Other networks used {more}{} with an owner in the last 24 hours; mode = \"enforce\" would deny these networks:\n",
        counted(all.len() as u64)
    );
    heading + &table(["KEY", "HINT", "OWNER", "DENIED", ">TIMES", "LAST"], rows, screen)
}

/// The next commands.
fn next(promotion: &Promotion) -> String {
    let Promotion { let_through, end, .. } = promotion;
    let mut out = String::new();
    if end.reserved > 0 || !let_through.is_empty() {
        out.push_str("For these keys: sentinel bindings set REF CIDR...\n");
    }
    out.push_str(
        "Then set mode = \"enforce\": in the configuration file it needs no restart (docs/configuration.md), by \
         SENTINEL_MODE it does.\n",
    );
    out
}

fn rows(keys: &[&PromotedKey], screen: Screen) -> String {
    let row = |key: &&PromotedKey| {
        [key.key_id.clone().into(), or_nothing(&key.hint).into(), or_nothing(&key.networks.join(", ")).into()]
    };
    table(["KEY", "HINT", "NETWORKS"], keys.iter().map(row), screen)
}
