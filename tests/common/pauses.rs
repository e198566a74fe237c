//! How long this machine stood still, which a test that promises a time has to allow for.

use std::{
    io::Write,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

/// A beat that is late by less is no pause.
const BEAT: Duration = Duration::from_millis(25);

/// A thread that does next to nothing, but again and again, and writes down when even that took long. Ends when this is
/// dropped.
pub(crate) struct Pauses {
    /// When each ended, and how long it was.
    seen: Arc<Mutex<Vec<(Instant, Duration)>>>,
    _end: mpsc::Sender<()>,
}

impl Pauses {
    pub(crate) fn watched() -> Self {
        let (end, ended) = mpsc::channel::<()>();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (pauses, mut file) = (Arc::clone(&seen), tempfile::tempfile().unwrap());
        thread::spawn(move || {
            let mut began = Instant::now();
            while ended.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                // A disk can stand still by itself.
                file.write_all(b".").and_then(|()| file.sync_data()).unwrap();
                let late = began.elapsed().saturating_sub(BEAT);
                if late > BEAT {
                    pauses.lock().unwrap().push((Instant::now(), late));
                }
                began = Instant::now();
            }
        });
        Self { seen, _end: end }
    }

    /// The most that was lost to pauses in any time so long.
    pub(crate) fn most_within(&self, time: Duration) -> Duration {
        let seen = self.seen.lock().unwrap();
        let lost = |until: &Instant| {
            let near = seen.iter().filter(|(ended, _)| ended <= until && *until - *ended <= time);
            near.map(|(_, late)| *late).sum()
        };
        seen.iter().map(|(ended, _)| lost(ended)).max().unwrap_or_default()
    }
}
