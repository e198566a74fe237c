//! Answers as bytes. Requests that are answered alike differ in a few texts of a fixed length; for these, an answer is
//! encoded once, and then copied with the texts put in.

use std::{fmt::Write, net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::{
    context::CheckContext,
    respond::{Texts, response},
};
use crate::{
    domain::{ClientIp, KeyId, Mode, Reason, event::DecisionId},
    engine::{Decision, Denial},
    settings::Help,
};

/// Makes the answers to checks, with their gRPC prefix.
#[derive(Debug, Default)]
pub(super) struct Answers(ArcSwap<Known>);

/// The templates that were needed until now. Few: a server answers with some reasons, in one or two profiles.
#[derive(Clone, Debug, Default)]
struct Known {
    help: Help,
    templates: Vec<(Case, Arc<Template>)>,
}

/// What an answer depends on, apart from its texts and the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    reason: Reason,
    allowed: bool,
    /// The length of the client's address, if the answer contains it.
    client_ip: usize,
    would_deny: bool,
    mode: Mode,
    has_key: bool,
    placeholder: bool,
    profile: &'static str,
}

impl Case {
    /// `None` if the answer depends on more, which is rare.
    fn of(decision: &Decision, context: &CheckContext<'_>, texts: &Texts<'_>) -> Option<Self> {
        if !context.lookalikes.is_empty() || !context.kept.is_empty() {
            return None;
        }
        let (allowed, would_deny, reason) = match decision {
            Decision::Allow(permit) => (true, permit.would_deny(), permit.reason()),
            Decision::Deny(Denial { retry_after: Some(_), .. }) => return None,
            Decision::Deny(denial) => (false, false, denial.reason),
        };
        Some(Self {
            profile: context.profile.name,
            allowed,
            would_deny,
            reason,
            mode: context.request.mode,
            has_key: texts.key_id.is_some(),
            placeholder: context.placeholder,
            client_ip: texts.client_ip.map_or(0, str::len),
        })
    }
}

impl Answers {
    /// The answer with its gRPC prefix.
    pub(super) fn answer(&self, decision: &Decision, context: &CheckContext<'_>, help: &Help) -> Bytes {
        let (key_id, told_ip) = match decision {
            Decision::Allow(permit) => (permit.key_id(), None),
            Decision::Deny(denial) => (denial.key_id, context.request.ip),
        };
        let (decision_id, key_id) = (hex(context.request.decision_id), key_id.map(KeyId::to_text));
        let client_ip = told_ip.map(ClientIp::ip).map(Written::of);
        let texts = Texts {
            decision_id: ascii(&decision_id),
            key_id: key_id.as_ref().map(|id| ascii(id)),
            client_ip: client_ip.as_ref().map(Written::as_str),
        };
        let Some(case) = Case::of(decision, context, &texts) else {
            return framed(&response(decision, context, help, &texts)).into();
        };
        let known = self.0.load();
        match known.templates.iter().find(|(it, _)| *it == case).filter(|_| known.help == *help) {
            Some((_, template)) => template.fill(&texts),
            None => self.learn(case, help, &texts, |texts| framed(&response(decision, context, help, texts))),
        }
    }

    /// Encodes an answer, and keeps its template.
    fn learn(&self, case: Case, help: &Help, texts: &Texts<'_>, encode: impl Fn(&Texts<'_>) -> Vec<u8>) -> Bytes {
        let Some(template) = Template::of(&encode, texts).map(Arc::new) else { return encode(texts).into() };
        self.0.rcu(|known| {
            // A reload replaces the help; the templates that contain the previous one are of no use.
            let mut known = if known.help == *help { Known::clone(known) } else { Known::default() };
            known.help = help.clone();
            known.templates.retain(|(it, _)| *it != case);
            known.templates.push((case, Arc::clone(&template)));
            known
        });
        template.fill(texts)
    }
}

/// An encoded answer, and where its texts are.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    bytes: Vec<u8>,
    decision_ids: Vec<usize>,
    key_ids: Vec<usize>,
    client_ips: Vec<usize>,
}

impl Template {
    /// `None` if `encode` changes more than the texts.
    fn of(encode: impl Fn(&Texts<'_>) -> Vec<u8>, texts: &Texts<'_>) -> Option<Self> {
        // Encoded with different texts, answers differ exactly where these are. To search for a text would find it in
        // the operator's help too.
        let blank = |text: &str, with: &str| with.repeat(text.len());
        let with = |decision: &str, key: &str, ip: &str| {
            encode(&Texts {
                decision_id: &blank(texts.decision_id, decision),
                key_id: texts.key_id.map(|text| blank(text, key)).as_deref(),
                client_ip: texts.client_ip.map(|text| blank(text, ip)).as_deref(),
            })
        };
        let bytes = with("0", "0", "0");
        let holes = |other: Vec<u8>, text: &str| positions(&bytes, &other, text.len());
        let decision_ids = holes(with("1", "0", "0"), texts.decision_id)?;
        let key_ids = holes(with("0", "1", "0"), texts.key_id.unwrap_or_default())?;
        let client_ips = holes(with("0", "0", "1"), texts.client_ip.unwrap_or_default())?;
        Some(Self { bytes, decision_ids, key_ids, client_ips })
    }

    fn fill(&self, texts: &Texts<'_>) -> Bytes {
        let mut answer = self.bytes.clone();
        let mut put = |holes: &[usize], text: &str| {
            for at in holes {
                if let Some(hole) = answer.get_mut(*at..at + text.len()) {
                    hole.copy_from_slice(text.as_bytes());
                }
            }
        };
        put(&self.decision_ids, texts.decision_id);
        put(&self.key_ids, texts.key_id.unwrap_or_default());
        put(&self.client_ips, texts.client_ip.unwrap_or_default());
        answer.into()
    }
}

/// Where `one` and `other` differ, in runs of `length` bytes; `None` if they differ otherwise.
fn positions(one: &[u8], other: &[u8], length: usize) -> Option<Vec<usize>> {
    if one.len() != other.len() {
        return None;
    }
    let (mut found, mut at) = (Vec::new(), 0);
    while at < one.len() {
        if one[at] == other[at] {
            at += 1;
            continue;
        }
        let end = at + length;
        let differs = |(one, other): (&u8, &u8)| one != other;
        if !one.get(at..end)?.iter().zip(&other[at..end]).all(differs) {
            return None;
        }
        found.push(at);
        at = end;
    }
    Some(found)
}

/// Prepends gRPC's prefix: not compressed, and the length.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), message].concat()
}

fn hex(DecisionId(id): DecisionId) -> [u8; 32] {
    let mut text = [b'0'; 32];
    // The length is right, so it cannot fail.
    let _ = hex::encode_to_slice(id.to_be_bytes(), &mut text);
    text
}

fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

/// An address as text, on the stack.
struct Written {
    text: [u8; Self::LONGEST],
    length: usize,
}

impl Written {
    /// An IPv6 address with an embedded IPv4 address.
    const LONGEST: usize = 45;

    fn of(ip: IpAddr) -> Self {
        let mut written = Self { text: [0; Self::LONGEST], length: 0 };
        // It has the room.
        let _ = write!(written, "{ip}");
        written
    }

    fn as_str(&self) -> &str {
        ascii(&self.text[..self.length])
    }
}

impl Write for Written {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.text.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
