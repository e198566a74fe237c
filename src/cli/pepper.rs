//! The commands of a rotation.

use std::{
    io::{self, IsTerminal},
    path::Path,
};

use super::{
    Failure,
    args::{Output, RotationCommand},
    client::ask,
    json,
    operate::emit,
    running, say, show,
};
use crate::{
    admin::api::{ActivatePepperRequest, ListPeppersRequest, RetirePepperRequest, RotationResponse},
    domain::PepperId,
};

/// Asks the server at `socket` and prints its answer.
pub(super) fn run(command: RotationCommand, socket: &Path, output: Output) -> Result<(), Failure> {
    running(&mut tokio::runtime::Builder::new_current_thread())?.block_on(async {
        match command {
            RotationCommand::List => {
                let answer = ask(socket, async |api| api.list_peppers(ListPeppersRequest {}).await).await?;
                emit(output, || show::peppers(&answer), || json::peppers(&answer))
            }
            RotationCommand::Activate { id } => activate(socket, output, id).await,
            RotationCommand::Retire { id, forget, yes } => {
                if forget && !yes {
                    confirm(&id)?;
                }
                retire(socket, output, id, forget).await
            }
        }
    })
}

async fn activate(socket: &Path, output: Output, id: PepperId) -> Result<(), Failure> {
    let request = ActivatePepperRequest { id: id.to_string() };
    let answer = ask(socket, async |api| api.activate_pepper(request).await).await?;
    warn_if_late(&answer);
    emit(output, || show::activated(&id), || json::rotation(&answer))
}

/// The server deletes a bounded number at once, so that no claim waits for long.
async fn retire(socket: &Path, output: Output, id: PepperId, forget: bool) -> Result<(), Failure> {
    let mut forgotten = 0;
    let answer = loop {
        let request = RetirePepperRequest { id: id.to_string(), forget };
        let answer = ask(socket, async |api| api.retire_pepper(request).await).await?;
        forgotten += answer.forgotten;
        if answer.done {
            break RotationResponse { forgotten, ..answer };
        }
    };
    warn_if_late(&answer);
    emit(output, || show::retired(&id, &answer), || json::rotation(&answer))
}

fn warn_if_late(answer: &RotationResponse) {
    if !answer.in_effect {
        say("warning: the change is stored, but the server could not read it back yet; it follows with its next poll");
    }
}

fn confirm(id: &PepperId) -> Result<(), Failure> {
    let input = io::stdin();
    if !input.is_terminal() {
        return Err(Failure::Usage(
            "--forget deletes bindings and bans; where there is no terminal it needs --yes".into(),
        ));
    }
    say(format_args!(
        "Every key that is still under pepper {id} is forgotten, with its owner and its ban: whoever uses it next owns it.\n\
         Type the pepper's id to go on:"
    ));
    let mut line = String::new();
    input.read_line(&mut line)?;
    match line.trim() == id.as_str() {
        true => Ok(()),
        false => Err(Failure::Refused("nothing was changed".into())),
    }
}
