//! The pepper commands that call a running server.

use super::{
    client::ask,
    confirm,
    failure::Failure,
    json,
    pepper_args::RotationCommand,
    session::{Session, build_runtime, document, reject_csv, warn_if_pending},
    show,
};
use crate::{
    admin::api::{ActivatePepperRequest, ListPeppersRequest, RetirePepperRequest, RotationResponse},
    domain::PepperId,
};

/// Calls the server and prints its answer.
pub(super) fn run(command: RotationCommand, session: &Session) -> Result<(), Failure> {
    reject_csv(session.output)?;
    build_runtime(&mut tokio::runtime::Builder::new_current_thread())?.block_on(async {
        match command {
            RotationCommand::List => {
                let answer = ask(session.socket, async |api| api.list_peppers(ListPeppersRequest {}).await).await?;
                document(session, || show::peppers(&answer, session.screen), || json::message(&answer))
            }
            RotationCommand::Activate { id } => activate(session, id).await,
            RotationCommand::Retire { id, forget, yes } => {
                if forget && confirm::is_needed(yes)? {
                    confirm::ask(&format!(
                        "Every key that is still under pepper {id} will lose its owner and its ban.\n\
                         The next network that uses such a key will own it, even an attacker's. This cannot be undone."
                    ))?;
                }
                retire(session, id, forget).await
            }
        }
    })
}

async fn activate(session: &Session<'_>, id: PepperId) -> Result<(), Failure> {
    let request = ActivatePepperRequest { id: id.to_string() };
    let answer = ask(session.socket, async |api| api.activate_pepper(request).await).await?;
    warn_if_pending(answer.in_effect);
    document(session, || show::activated(&id), || json::message(&answer))
}

/// Repeats the call until the server is done: each call deletes a bounded number of rows, so that no claim waits long.
async fn retire(session: &Session<'_>, id: PepperId, forget: bool) -> Result<(), Failure> {
    let mut forgotten = 0;
    let answer = loop {
        let request = RetirePepperRequest { id: id.to_string(), forget };
        let answer = ask(session.socket, async |api| api.retire_pepper(request).await).await?;
        forgotten += answer.forgotten;
        if answer.done {
            break RotationResponse { forgotten, ..answer };
        }
    };
    warn_if_pending(answer.in_effect);
    document(session, || show::retired(&id, &answer), || json::message(&answer))
}
