//! The peppers, and the result of a rotation step.

use super::table::{Cell, table};
use crate::{
    admin::api::{ListPeppersResponse, RotationResponse},
    cli::screen::Screen,
    domain::PepperId,
};

/// One line per pepper, the active one first.
pub(in crate::cli) fn peppers(answer: &ListPeppersResponse, screen: Screen) -> String {
    let rows = answer.peppers.iter().map(|pepper| {
        let rows = pepper.left.unwrap_or_default();
        let counts =
            [rows.bindings, rows.bans, rows.observed, rows.archived].map(|count| Cell::from(count.to_string()));
        let [bindings, bans, observed, archived] = counts;
        let listed = if pepper.listed { "yes" } else { "no" };
        [pepper.id.clone().into(), pepper.state.clone().into(), listed.into(), bindings, bans, observed, archived]
    });
    table(["PEPPER", "STATE", "LISTED", ">BINDINGS", ">BANS", ">OBSERVED", ">ARCHIVED"], rows, screen)
}

/// After `pepper activate`.
pub(in crate::cli) fn activated(id: &PepperId) -> String {
    format!(
        "New rows are written with pepper {id}.\nA key under another pepper moves when it is next used. Keep that pepper \
         listed until `sentinel pepper list` shows no rows under it, then retire it.\n"
    )
}

/// After `pepper retire`.
pub(in crate::cli) fn retired(id: &PepperId, answer: &RotationResponse) -> String {
    let forgotten = match answer.forgotten {
        0 => String::new(),
        1 => "1 key was forgotten; `sentinel audit list --kind forgotten` names it.\n".to_owned(),
        count => format!("{count} keys were forgotten; `sentinel audit list --kind forgotten` names them.\n"),
    };
    format!("Pepper {id} is retired. Remove its secret from every server.\n{forgotten}")
}
