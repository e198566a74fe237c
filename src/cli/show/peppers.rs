//! The peppers, and what a step of a rotation did.

use super::table::{Cell, table};
use crate::{
    admin::api::{ListPeppersResponse, RotationResponse},
    cli::screen::Screen,
    domain::PepperId,
};

/// One line a pepper, the active one first.
pub(in crate::cli) fn peppers(answer: &ListPeppersResponse, screen: Screen) -> String {
    let rows = answer.peppers.iter().map(|pepper| {
        let left = pepper.left.unwrap_or_default();
        let counts =
            [left.bindings, left.bans, left.observed, left.archived].map(|count| Cell::from(count.to_string()));
        let [bindings, bans, observed, archived] = counts;
        let listed = if pepper.listed { "yes" } else { "no" };
        [pepper.id.clone().into(), pepper.state.clone().into(), listed.into(), bindings, bans, observed, archived]
    });
    table(["PEPPER", "STATE", "LISTED", ">BINDINGS", ">BANS", ">OBSERVED", ">ARCHIVED"], rows, screen)
}

/// After `pepper activate`.
pub(in crate::cli) fn activated(id: &PepperId) -> String {
    format!(
        "New rows are written with pepper {id}.\nA key of another pepper moves when it is next used; keep that pepper \
         listed until `sentinel pepper list` shows nothing under it, then retire it.\n"
    )
}

/// After `pepper retire`.
pub(in crate::cli) fn retired(id: &PepperId, answer: &RotationResponse) -> String {
    let forgotten = match answer.forgotten {
        0 => String::new(),
        count => format!("{count} keys were forgotten; `sentinel audit list --kind forgotten` names them.\n"),
    };
    format!("Pepper {id} is retired: its secret can go from every server.\n{forgotten}")
}
