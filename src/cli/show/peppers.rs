//! The peppers, and what a step of a rotation did.

use super::{columns, text};
use crate::{
    admin::api::{ListPeppersResponse, RotationResponse},
    domain::PepperId,
};

/// One line a pepper, the active one first.
pub(in crate::cli) fn peppers(answer: &ListPeppersResponse) -> String {
    let rows = answer.peppers.iter().map(|pepper| {
        let left = pepper.left.unwrap_or_default();
        let counts = [left.bindings, left.bans, left.observed, left.archived].map(|count| count.to_string());
        let [bindings, bans, observed, archived] = counts;
        let listed = if pepper.listed { "yes" } else { "no" }.to_owned();
        [pepper.id.clone(), pepper.state.clone(), listed, bindings, bans, observed, archived]
    });
    text(columns(["PEPPER", "STATE", "LISTED", ">BINDINGS", ">BANS", ">OBSERVED", ">ARCHIVED"], rows))
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
