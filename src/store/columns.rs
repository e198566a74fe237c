//! Reads the columns of a row, whichever driver returned it, and makes values of them: both backends select the same
//! columns.

use std::{fmt::Display, mem::discriminant, str::FromStr, time::Duration};

use super::{
    ArchivedBinding, Counts, CrowdedNetwork, DenialCount, PepperUsage, RecordId, RefusedNetwork, StoreError,
    StoredRecord,
    rules::{KeyIdentity, rotation::StoredPepper},
    snapshot,
};
use crate::domain::{
    Ban, Binding, Fingerprint, Hint, KeyDigest, KeyId, Network, PepperId, Timestamp,
    event::{Part, Record},
    running::{Pause, Replica},
};

/// A row of a driver. Every method reads the column with the index `at`; `name` is its table and column, for errors. A
/// value of the wrong form is [`StoreError::Corrupt`].
pub(super) trait Columns {
    fn text_or_null(&self, at: usize, name: &str) -> Result<Option<&str>, StoreError>;

    fn integer_or_null(&self, at: usize, name: &str) -> Result<Option<i64>, StoreError>;

    fn moment_or_null(&self, at: usize, name: &str) -> Result<Option<Timestamp>, StoreError>;

    fn bytes(&self, at: usize, name: &str) -> Result<&[u8], StoreError>;

    fn flag(&self, at: usize, name: &str) -> Result<bool, StoreError>;

    fn text(&self, at: usize, name: &str) -> Result<&str, StoreError> {
        self.text_or_null(at, name)?.ok_or_else(|| unreadable(name, "NULL"))
    }

    fn owned_or_null(&self, at: usize, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.text_or_null(at, name)?.map(str::to_owned))
    }

    fn integer(&self, at: usize, name: &str) -> Result<i64, StoreError> {
        self.integer_or_null(at, name)?.ok_or_else(|| unreadable(name, "NULL"))
    }

    fn count(&self, at: usize, name: &str) -> Result<u64, StoreError> {
        u64::try_from(self.integer(at, name)?).map_err(|error| unreadable(name, error))
    }

    fn moment(&self, at: usize, name: &str) -> Result<Timestamp, StoreError> {
        self.moment_or_null(at, name)?.ok_or_else(|| unreadable(name, "NULL"))
    }

    fn array(&self, at: usize, name: &str) -> Result<[u8; 32], StoreError> {
        self.bytes(at, name)?.try_into().map_err(|error| unreadable(name, error))
    }

    fn digest(&self, at: usize, name: &str) -> Result<KeyDigest, StoreError> {
        self.array(at, name).map(KeyDigest::from_bytes)
    }

    /// A text that `T` parses.
    fn parsed<T: FromStr<Err: Display>>(&self, at: usize, name: &str) -> Result<T, StoreError> {
        self.text(at, name)?.parse().map_err(|error| unreadable(name, error))
    }

    fn parsed_or_null<T: FromStr<Err: Display>>(&self, at: usize, name: &str) -> Result<Option<T>, StoreError> {
        self.text_or_null(at, name)?.map(str::parse).transpose().map_err(|error| unreadable(name, error))
    }

    /// A word of the enum `T`.
    fn word<T: FromStr>(&self, at: usize, name: &str) -> Result<T, StoreError> {
        let text = self.text(at, name)?;
        text.parse().map_err(|_| unreadable(name, format_args!("unknown word {text:?}")))
    }

    fn word_or_null<T: FromStr>(&self, at: usize, name: &str) -> Result<Option<T>, StoreError> {
        self.text_or_null(at, name)?.map(|_| self.word(at, name)).transpose()
    }

    fn hint(&self, at: usize, name: &str) -> Result<Option<Hint>, StoreError> {
        Ok(self.owned_or_null(at, name)?.map(Hint::from_stored))
    }

    fn pepper_id(&self, at: usize, name: &str) -> Result<PepperId, StoreError> {
        Ok(PepperId::from_stored(self.text(at, name)?.to_owned()))
    }

    fn pepper_id_or_null(&self, at: usize, name: &str) -> Result<Option<PepperId>, StoreError> {
        Ok(self.owned_or_null(at, name)?.map(PepperId::from_stored))
    }
}

/// The value of column `name` is not valid.
pub(super) fn unreadable(name: &str, why: impl Display) -> StoreError {
    StoreError::Corrupt(format!("{name}: {why}"))
}

/// The row that counts revisions is missing.
pub(super) fn no_revision() -> StoreError {
    unreadable("revision", "its row is missing")
}

/// No pepper is the active one.
pub(super) fn no_active_pepper() -> StoreError {
    unreadable("peppers", "none is active")
}

/// `key_id`, `digest`, `pepper`, `realm`, `hint`.
pub(super) fn identity(row: &impl Columns) -> Result<KeyIdentity, StoreError> {
    let fingerprint = Fingerprint {
        digest: row.digest(1, "known_keys.digest")?,
        pepper: row.pepper_id(2, "known_keys.pepper")?,
        realm: row.text(3, "known_keys.realm")?.to_owned(),
        hint: row.hint(4, "known_keys.hint")?,
        others: Vec::new(),
    };
    Ok(KeyIdentity { id: row.parsed(0, "known_keys.key_id")?, fingerprint })
}

/// `key_id`.
pub(super) fn key_id(row: &impl Columns) -> Result<KeyId, StoreError> {
    row.parsed(0, "known_keys.key_id")
}

/// From column `at`: `key_id`, `hint`, `state`, `created_at`, `open_until`, `expires_at`.
pub(super) fn binding(row: &impl Columns, at: usize, networks: Vec<Network>) -> Result<Binding, StoreError> {
    Ok(Binding {
        id: row.parsed(at, "bindings.key_id")?,
        hint: row.hint(at + 1, "bindings.hint")?,
        state: row.word(at + 2, "bindings.state")?,
        networks,
        created_at: row.moment(at + 3, "bindings.created_at")?,
        open_until: row.moment_or_null(at + 4, "bindings.open_until")?,
        expires_at: row.moment_or_null(at + 5, "bindings.expires_at")?,
    })
}

/// From column `at`: `key_id`, `hint`, `until`, `reason`, `actor`, `created_at`.
pub(super) fn ban(row: &impl Columns, at: usize) -> Result<Ban, StoreError> {
    Ok(Ban {
        id: row.parsed(at, "bans.key_id")?,
        hint: row.hint(at + 1, "bans.hint")?,
        until: row.moment_or_null(at + 2, "bans.until")?,
        reason: row.owned_or_null(at + 3, "bans.reason")?,
        actor: row.text(at + 4, "bans.actor")?.to_owned(),
        created_at: row.moment(at + 5, "bans.created_at")?,
    })
}

/// From column `at`: `created_at`, `archived_at`.
pub(super) fn archived(row: &impl Columns, at: usize, networks: Vec<Network>) -> Result<ArchivedBinding, StoreError> {
    let created_at = row.moment(at, "archive.created_at")?;
    Ok(ArchivedBinding { networks, created_at, archived_at: row.moment(at + 1, "archive.archived_at")? })
}

/// `kind`, `reason`, `key_id`, `network`, `count`, `first_at`, `last_at`, `actor`, `decision_id`, `detail`, `delta`, `id`.
pub(super) fn stored(row: &impl Columns) -> Result<StoredRecord, StoreError> {
    let id = row.integer(11, "audit.id")?;
    let record = record(row).map_err(|fault| fault.of(format_args!("record {id}")))?;
    Ok(StoredRecord { id: RecordId(id), record })
}

fn record(row: &impl Columns) -> Result<Record, StoreError> {
    Ok(Record {
        kind: row.word(0, "audit.kind")?,
        reason: row.word_or_null(1, "audit.reason")?,
        key_id: row.parsed_or_null(2, "audit.key_id")?,
        network: row.parsed_or_null(3, "audit.network")?,
        count: row.count(4, "audit.count")?,
        first_at: row.moment(5, "audit.first_at")?,
        last_at: row.moment(6, "audit.last_at")?,
        actor: row.owned_or_null(7, "audit.actor")?,
        decision_id: row.owned_or_null(8, "audit.decision_id")?,
        detail: row.owned_or_null(9, "audit.detail")?,
        delta: row.text_or_null(10, "audit.delta")?.map(snapshot::from_json).transpose()?.map(Box::new),
    })
}

/// `id`, `delta`: the id of the record, if it changed the same part of a key.
pub(super) fn changed(row: &impl Columns, part: &Part) -> Result<Option<RecordId>, StoreError> {
    let delta = snapshot::from_json(row.text(1, "audit.delta")?)?;
    let is_same = discriminant(&delta.part) == discriminant(part);
    is_same.then(|| row.integer(0, "audit.id").map(RecordId)).transpose()
}

/// `network`, `denied`, `would_deny`, `last_at`.
pub(super) fn refused(row: &impl Columns) -> Result<RefusedNetwork, StoreError> {
    Ok(RefusedNetwork {
        network: row.parsed(0, "audit.network")?,
        count: row.count(1, "audit.count")?,
        would_deny: row.count(2, "audit.count")?,
        last_at: row.moment(3, "audit.last_at")?,
    })
}

/// `name`, `uses_written_at`, `seen_at`.
pub(super) fn replica(row: &impl Columns) -> Result<Replica, StoreError> {
    Ok(Replica {
        name: row.text(0, "replicas.name")?.to_owned(),
        uses_written_at: row.moment(1, "replicas.uses_written_at")?,
        seen_at: row.moment(2, "replicas.seen_at")?,
    })
}

/// `ended_at`, `lasted_ms`.
pub(super) fn pause(row: &impl Columns) -> Result<Pause, StoreError> {
    let lasted = Duration::from_millis(row.count(1, "pauses.lasted_ms")?);
    Ok(Pause { ended_at: row.moment(0, "pauses.ended_at")?, lasted })
}

/// `learned`, `pinned`, `reserved`, `banned`, `provisional`, `observed`.
pub(super) fn counts(row: &impl Columns) -> Result<Counts, StoreError> {
    Ok(Counts {
        learned: row.count(0, "bindings.state")?,
        pinned: row.count(1, "bindings.state")?,
        reserved: row.count(2, "bindings.state")?,
        banned: row.count(3, "bans.until")?,
        provisional: row.count(4, "bindings.state")?,
        observed: row.count(5, "candidates.key_id")?,
    })
}

/// `network`, `keys`.
pub(super) fn crowded(row: &impl Columns) -> Result<CrowdedNetwork, StoreError> {
    let network = row.parsed(0, "binding_networks.network")?;
    Ok(CrowdedNetwork { network, keys: row.count(1, "binding_networks.network")? })
}

/// `reason`, `count`, `last_at`.
pub(super) fn denied(row: &impl Columns) -> Result<DenialCount, StoreError> {
    Ok(DenialCount {
        reason: row.word(0, "audit.reason")?,
        count: row.count(1, "audit.count")?,
        last_at: row.moment(2, "audit.last_at")?,
    })
}

/// `bindings`, `bans`, `observed`, `archived`.
pub(super) fn usage(row: &impl Columns) -> Result<PepperUsage, StoreError> {
    Ok(PepperUsage {
        bindings: row.count(0, "bindings.pepper")?,
        bans: row.count(1, "bans.pepper")?,
        observed: row.count(2, "candidates.pepper")?,
        archived: row.count(3, "archive.pepper")?,
    })
}

/// `check_value`, `active`, whether it is retired.
pub(super) fn known_pepper(row: &impl Columns) -> Result<StoredPepper, StoreError> {
    Ok(StoredPepper {
        check_value: row.array(0, "peppers.check_value")?,
        active: row.flag(1, "peppers.active")?,
        retired: row.flag(2, "peppers.retired_at")?,
    })
}
