//! Lists and shows keys.

use super::{AsOf, Error, FieldError, KeyReference, Operation, Principal, Service, validate};
use crate::{
    domain::State,
    store::{KeyFilter, KeyQuery, KeyRow, StateFilter},
};

/// Which keys to list; by default all that have a binding or a ban, the newest first.
pub(crate) struct ListKeys {
    /// Only bindings in this state, or `reserved`: pinned without networks.
    pub(crate) state: Option<String>,
    /// Only keys with a ban in force.
    pub(crate) banned_only: bool,
    /// Only keys that this network owns exactly.
    pub(crate) network: Option<String>,
    /// Only keys that observe mode recorded and that have no binding. Cannot be given together with the three above.
    pub(crate) observed_only: bool,
    /// Only keys whose hint contains this text of 3 to 8 characters.
    pub(crate) hint: Option<String>,
    /// At most this number of keys, 1 to 1000; by default 100.
    pub(crate) limit: Option<u32>,
    pub(crate) offset: u32,
}

/// Not a [`State`]: a pinned binding without networks.
const RESERVED: &str = "reserved";
const STATES: [&str; State::ALL.len() + 1] =
    [State::Provisional.as_str(), State::Learned.as_str(), State::Pinned.as_str(), RESERVED];

impl ListKeys {
    fn query(&self) -> Result<KeyQuery, FieldError> {
        let (state, network) = (self.state.as_deref(), self.network.as_deref());
        if self.observed_only && (state.is_some() || self.banned_only || network.is_some()) {
            let cause = "cannot be given together with `state`, `banned_only` or `network`";
            return Err(FieldError::new("observed_only", cause));
        }
        let state = match state {
            Some(RESERVED) => Some(StateFilter::Reserved),
            state => validate::word("state", state, State::from_word, &STATES)?.map(StateFilter::In),
        };
        let hint = self.hint.clone().map(hint_part).transpose()?;
        let network = network.map(|text| validate::network("network", text)).transpose()?;
        let filter = match self.observed_only {
            true => KeyFilter::Observed,
            false => KeyFilter::BoundOrBanned { state, network, banned_only: self.banned_only },
        };
        Ok(KeyQuery { filter, hint, limit: validate::limit(self.limit)?, offset: self.offset, ..KeyQuery::ALL })
    }
}

fn hint_part(text: String) -> Result<String, FieldError> {
    match text.chars().count() {
        3..=8 => Ok(text),
        _ => Err(FieldError::new("hint", "must be 3 to 8 characters of the key's first or last four")),
    }
}

impl Service {
    /// The keys that match `command`.
    pub(crate) async fn list_keys(&self, by: &Principal, command: ListKeys) -> Result<AsOf<Vec<KeyRow>>, Error> {
        by.authorise(Operation::Read)?;
        let query = command.query()?;
        let now = self.now()?;
        let value = self.store.list(query).await.map_err(Error::read_failed)?;
        Ok(AsOf { now, value })
    }

    /// One key, with the networks that were denied it.
    pub(crate) async fn get_key(&self, by: &Principal, key: KeyReference) -> Result<AsOf<KeyRow>, Error> {
        by.authorise(Operation::Read)?;
        let target = self.target(&key)?;
        let now = self.now()?;
        let value = self.store.find(target).await.map_err(Error::find_failed)?;
        Ok(AsOf { now, value })
    }
}
