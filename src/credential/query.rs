//! Query parameters.

use super::{
    carrier::{Carrier, Place},
    name::{self, Names},
    slot::Slot,
};

/// Puts the query's parameters into the slots of their carriers. The query is split at `&` only.
pub(super) fn take<'a>(path: &'a [u8], carriers: &[Carrier], names: Names, slots: &mut [Slot<'a>]) {
    if !carriers.iter().any(|carrier| matches!(carrier.place, Place::Query(_))) {
        return;
    }
    let Some(start) = path.iter().position(|byte| *byte == b'?') else { return };
    for parameter in path[start + 1..].split(|byte| *byte == b'&') {
        let end = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
        let value = parameter.get(end + 1..).unwrap_or_default();
        for (carrier, slot) in carriers.iter().zip(slots.iter_mut()) {
            let Place::Query(name) = carrier.place else { continue };
            if let Some(written) = name::parameter(&parameter[..end], name, names) {
                slot.put(value, written);
            }
            if names == Names::Unknown && name::is_behind_semicolon(parameter, name) {
                slot.fill(Slot::Broken);
            }
        }
    }
}
