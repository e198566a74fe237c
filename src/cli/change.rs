//! The commands that change one key.
//!
//! A command asks for confirmation if it may lock an owner out without naming a new one (`unbind`, `bindings set
//! --reserve`), if it may let a stranger in (`unbind --open`), or if it names its target only by a number (`undo`). It
//! does not ask if it names the new owner (`unbind --to`, `bindings set CIDR`) and one command reverses it, if it takes
//! nothing from an owner (`bindings claim`, `bindings note`, `unban`), or in an emergency (`ban`).

use std::time::Duration;

use super::{
    bindings_args::{ClaimArgs, NoteArgs, SetArgs},
    client::ask,
    confirm,
    failure::Failure,
    json,
    reference::{KeyArgs, by_file},
    session::{Session, document, say, warn_if_pending},
    show,
};
use crate::{
    admin::api::{
        BanRequest, ChangeResponse, ClaimKeyRequest, GetKeyRequest, GetKeyResponse, KeyReference, ListAuditRequest,
        NoteRequest, SetNetworksRequest, UnbanRequest, UnbindRequest, UndoRequest, key_reference::Reference,
        note_request::Note, unbind_request::Mode,
    },
    domain::{Network, Timestamp},
};

/// The effect that a confirmation states.
const RESERVED: &str = "Every client will be denied until you name its network.";
const OPENED: &str = "The next network that uses it will own it, even an attacker's.";

pub(super) async fn unbind(
    session: &Session<'_>,
    key: KeyArgs,
    to: Option<Network>,
    open: bool,
    yes: bool,
) -> Result<(), Failure> {
    let mode = match to {
        Some(network) => Some(Mode::To(network.to_string())),
        None if open => Some(Mode::Open(true)),
        None => None,
    };
    let mut key = key.resolve()?;
    if to.is_none() && confirm::is_wanted(yes) {
        let found = get_key(session, &key).await?;
        let effect = if open { OPENED } else { RESERVED };
        confirm::ask(&format!("{}\n{effect}", show::key_summary(&found)))?;
        key = by_whole_id(&found);
    }
    let request = UnbindRequest { key: Some(key), mode };
    let answer = ask(session.socket, async |api| api.unbind(request).await).await?;
    print_change(session, &answer, show::unbound)?;
    if open {
        let id = answer.key.map(|key| key.key_id).unwrap_or_default();
        say(format_args!(
            "warning: the next network that uses this key owns it, even an attacker's; `sentinel bindings show {id}` \
             shows the owner"
        ));
    }
    Ok(())
}

pub(super) async fn set(session: &Session<'_>, args: SetArgs) -> Result<(), Failure> {
    let yes = args.yes;
    let (mut key, networks) = args.resolve()?;
    let reserve = networks.is_empty();
    if reserve && confirm::is_needed(yes)? {
        let is_from_file = matches!(key.reference, Some(Reference::ApiKey(_)));
        let summary = match get_key(session, &key).await {
            Ok(found) => {
                key = by_whole_id(&found);
                show::key_summary(&found)
            }
            Err(Failure::Rejected(_)) if is_from_file => "This key was never seen.".to_owned(),
            Err(failure) => return Err(failure),
        };
        confirm::ask(&format!("{summary}\n{RESERVED}"))?;
    }
    let networks = networks.iter().map(Network::to_string).collect();
    let request = SetNetworksRequest { key: Some(key), networks, reserve };
    let answer = ask(session.socket, async |api| api.set_networks(request).await).await?;
    print_change(session, &answer, show::networks_set)
}

pub(super) async fn claim(session: &Session<'_>, args: ClaimArgs) -> Result<(), Failure> {
    let ClaimArgs { networks, key_file, profile } = args;
    let key = Some(by_file(&key_file, profile)?);
    let request = ClaimKeyRequest { key, networks: networks.iter().map(Network::to_string).collect() };
    let answer = ask(session.socket, async |api| api.claim_key(request).await).await?;
    print_change(session, &answer, show::networks_set)
}

pub(super) async fn note(session: &Session<'_>, args: NoteArgs) -> Result<(), Failure> {
    let (key, text) = args.resolve()?;
    let note = Some(text.map_or(Note::Remove(true), Note::Text));
    let request = NoteRequest { key: Some(key), note };
    let answer = ask(session.socket, async |api| api.note(request).await).await?;
    print_change(session, &answer, show::note_set)
}

pub(super) async fn ban(
    session: &Session<'_>,
    key: KeyArgs,
    lasting: Option<Duration>,
    until: Option<Timestamp>,
    reason: String,
) -> Result<(), Failure> {
    // A duration that does not fit is also above the server's maximum, which rejects it.
    let lasting_ms = lasting.map_or(0, |lasting| i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX));
    let until_ms = until.map_or(0, Timestamp::as_millis);
    let request = BanRequest { key: Some(key.resolve()?), lasting_ms, reason, until_ms };
    let answer = ask(session.socket, async |api| api.ban(request).await).await?;
    print_change(session, &answer, show::banned)
}

pub(super) async fn unban(session: &Session<'_>, key: KeyArgs) -> Result<(), Failure> {
    let request = UnbanRequest { key: Some(key.resolve()?) };
    let answer = ask(session.socket, async |api| api.unban(request).await).await?;
    print_change(session, &answer, show::unbanned)
}

pub(super) async fn undo(session: &Session<'_>, record: i64, yes: bool) -> Result<(), Failure> {
    if confirm::is_needed(yes)? {
        let request = ListAuditRequest { record, limit: 1, ..Default::default() };
        let answer = ask(session.socket, async |api| api.list_audit(request).await).await?;
        // Without an undoable record there is nothing to confirm; the server's error says why.
        if let Some(record) = answer.records.first().filter(|record| record.undoable) {
            confirm::ask(&show::undo_question(record, answer.now_ms))?;
        }
    }
    let answer = ask(session.socket, async |api| api.undo(UndoRequest { record }).await).await?;
    print_change(session, &answer, show::undone)
}

async fn get_key(session: &Session<'_>, key: &KeyReference) -> Result<GetKeyResponse, Failure> {
    let request = GetKeyRequest { key: Some(key.clone()) };
    ask(session.socket, async |api| api.get_key(request).await).await
}

/// The key that the operator confirmed. The prefix that was typed may match more keys by now.
fn by_whole_id(found: &GetKeyResponse) -> KeyReference {
    let id = found.key.as_ref().map(|key| key.key_id.clone()).unwrap_or_default();
    KeyReference { reference: Some(Reference::KeyId(id)), profile: String::new() }
}

fn print_change(
    session: &Session<'_>,
    answer: &ChangeResponse,
    text: fn(&ChangeResponse) -> String,
) -> Result<(), Failure> {
    warn_if_pending(answer.in_effect);
    document(session, || format!("{}Undo: {}\n", text(answer), show::undo(answer.record)), || json::change(answer))
}
