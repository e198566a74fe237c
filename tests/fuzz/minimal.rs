//! From a case that fails to a smaller one that still does.

use crate::frame::{Input, Parts};

/// Takes away lines, extensions, entries and then pieces of values and bytes, as long as `fails` holds.
pub(crate) fn minimal(input: &Input, fails: impl Fn(&Input) -> bool) -> Input {
    let mut best = input.clone();
    for nth in (0..best.metadata.len()).rev() {
        let mut smaller = best.clone();
        smaller.metadata.remove(nth);
        keep(&mut best, smaller, &fails);
    }
    if let Some(parts) = Parts::of(&best.frame) {
        // Written anew a frame is another one: only if that fails too there is something to take away from.
        keep_parts(&mut best, parts, &fails);
    }
    shorten(&mut best, &fails);
    best
}

fn keep(best: &mut Input, smaller: Input, fails: &impl Fn(&Input) -> bool) -> bool {
    let better = smaller.frame.len() <= best.frame.len() && fails(&smaller);
    if better {
        *best = smaller;
    }
    better
}

fn keep_parts(best: &mut Input, mut parts: Parts, fails: &impl Fn(&Input) -> bool) {
    let mut try_without = |change: &dyn Fn(&mut Parts)| {
        let mut smaller = parts.clone();
        change(&mut smaller);
        let input = Input { frame: smaller.frame(), metadata: best.metadata.clone() };
        if keep(best, input, fails) {
            parts = smaller;
        }
    };
    for nth in (0..64).rev() {
        try_without(&|parts| drop((nth < parts.lines.len()).then(|| parts.lines.remove(nth))));
        try_without(&|parts| drop((nth < parts.extensions.len()).then(|| parts.extensions.remove(nth))));
    }
}

/// Bytes out of the middle, in ever smaller pieces.
fn shorten(best: &mut Input, fails: &impl Fn(&Input) -> bool) {
    let mut piece = best.frame.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at + piece <= best.frame.len() {
            let mut smaller = best.clone();
            smaller.frame.drain(at..at + piece);
            if !keep(best, smaller, fails) {
                at += piece;
            }
        }
        piece /= 2;
    }
}
