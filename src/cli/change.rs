//! The commands that change one key.
//!
//! Asked about is what may lock a key's owner out without saying who gets it (`unbind`, `bindings set --reserve`), what
//! lets a stranger in (`unbind --open`), and what is named by a number alone (`undo`). Not asked about is what names its
//! outcome (`unbind --to`, `bindings set CIDR`) and one command takes back, what cannot take anything from anybody
//! (`bindings claim`, `bindings note`, `unban`), and `ban`, which is for emergencies.

use std::time::Duration;

use super::{
    bindings_args::{ClaimArgs, NoteArgs, SetArgs},
    client::ask,
    confirm,
    failure::Failure,
    json,
    reference::{Which, by_file},
    session::{Session, document, say, warn_unless},
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

pub(super) async fn unbind(
    session: &Session<'_>,
    which: Which,
    to: Option<Network>,
    open: bool,
    yes: bool,
) -> Result<(), Failure> {
    let mode = match to {
        Some(network) => Some(Mode::To(network.to_string())),
        None if open => Some(Mode::Open(true)),
        None => None,
    };
    let mut key = which.resolve()?;
    if to.is_none() && confirm::is_wanted(yes) {
        let known = look(session, &key).await?;
        let then = if open {
            "Whoever uses it next owns it, a thief too."
        } else {
            "Nobody can use it then until you say who."
        };
        confirm::ask(&format!("{}\n{then}", show::subject(&known)))?;
        key = exactly(&known);
    }
    let request = UnbindRequest { key: Some(key), mode };
    let answer = ask(session.socket, async |api| api.unbind(request).await).await?;
    changed(session, &answer, show::unbound)?;
    if open {
        let id = answer.key.map(|key| key.key_id).unwrap_or_default();
        say(format_args!(
            "warning: whoever uses this key next owns it, a thief too; `sentinel bindings show {id}` says who did"
        ));
    }
    Ok(())
}

pub(super) async fn set(session: &Session<'_>, args: SetArgs) -> Result<(), Failure> {
    let yes = args.yes;
    let (mut key, networks) = args.resolve()?;
    let reserve = networks.is_empty();
    if reserve && confirm::is_needed(yes)? {
        let by_key = matches!(key.reference, Some(Reference::ApiKey(_)));
        let subject = match look(session, &key).await {
            Ok(known) => {
                key = exactly(&known);
                show::subject(&known)
            }
            // A key in a file need not have been seen.
            Err(Failure::Refused(_)) if by_key => "This key was never seen.".to_owned(),
            Err(failure) => return Err(failure),
        };
        confirm::ask(&format!("{subject}\nNobody can use it then until you say who."))?;
    }
    let networks = networks.iter().map(Network::to_string).collect();
    let request = SetNetworksRequest { key: Some(key), networks, reserve };
    let answer = ask(session.socket, async |api| api.set_networks(request).await).await?;
    changed(session, &answer, show::given)
}

pub(super) async fn claim(session: &Session<'_>, args: ClaimArgs) -> Result<(), Failure> {
    let ClaimArgs { networks, key_file, profile } = args;
    let key = Some(by_file(&key_file, profile)?);
    let request = ClaimKeyRequest { key, networks: networks.iter().map(Network::to_string).collect() };
    let answer = ask(session.socket, async |api| api.claim_key(request).await).await?;
    changed(session, &answer, show::given)
}

pub(super) async fn note(session: &Session<'_>, args: NoteArgs) -> Result<(), Failure> {
    let (key, text) = args.resolve()?;
    let note = Some(text.map_or(Note::Remove(true), Note::Text));
    let request = NoteRequest { key: Some(key), note };
    let answer = ask(session.socket, async |api| api.note(request).await).await?;
    changed(session, &answer, show::done)
}

pub(super) async fn ban(
    session: &Session<'_>,
    which: Which,
    lasting: Option<Duration>,
    until: Option<Timestamp>,
    reason: String,
) -> Result<(), Failure> {
    // Too long for the wire is too long for the server, which says so.
    let lasting_ms = lasting.map_or(0, |lasting| i64::try_from(lasting.as_millis()).unwrap_or(i64::MAX));
    let until_ms = until.map_or(0, Timestamp::as_millis);
    let request = BanRequest { key: Some(which.resolve()?), lasting_ms, reason, until_ms };
    let answer = ask(session.socket, async |api| api.ban(request).await).await?;
    changed(session, &answer, show::banned)
}

pub(super) async fn unban(session: &Session<'_>, which: Which) -> Result<(), Failure> {
    let request = UnbanRequest { key: Some(which.resolve()?) };
    let answer = ask(session.socket, async |api| api.unban(request).await).await?;
    changed(session, &answer, show::unbanned)
}

pub(super) async fn undo(session: &Session<'_>, record: i64, yes: bool) -> Result<(), Failure> {
    if confirm::is_needed(yes)? {
        let request = ListAuditRequest { record, limit: 1, ..Default::default() };
        let answer = ask(session.socket, async |api| api.list_audit(request).await).await?;
        // Where there is nothing to undo, the server says so in its own words.
        if let Some(found) = answer.records.first().filter(|found| found.undoable) {
            confirm::ask(&show::to_undo(found, answer.now_ms))?;
        }
    }
    let answer = ask(session.socket, async |api| api.undo(UndoRequest { record }).await).await?;
    changed(session, &answer, show::undone)
}

async fn look(session: &Session<'_>, key: &KeyReference) -> Result<GetKeyResponse, Failure> {
    let request = GetKeyRequest { key: Some(key.clone()) };
    ask(session.socket, async |api| api.get_key(request).await).await
}

/// The very key that somebody was asked about, whatever else begins so by now.
fn exactly(known: &GetKeyResponse) -> KeyReference {
    let id = known.key.as_ref().map(|key| key.key_id.clone()).unwrap_or_default();
    KeyReference { reference: Some(Reference::KeyId(id)), profile: String::new() }
}

fn changed(
    session: &Session<'_>,
    answer: &ChangeResponse,
    table: fn(&ChangeResponse) -> String,
) -> Result<(), Failure> {
    warn_unless(answer.in_effect);
    document(session, || format!("{}Undo: {}\n", table(answer), show::undo(answer.record)), || json::change(answer))
}
