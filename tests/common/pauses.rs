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
    seen: Arc<Mutex<Seen>>,
    _end: mpsc::Sender<()>,
}

struct Seen {
    /// When the beat began that is under way.
    began: Instant,
    /// When each pause ended, and how long it was.
    pauses: Vec<(Instant, Duration)>,
}

impl Seen {
    /// What the beat under way is late by.
    fn late(&self) -> (Instant, Duration) {
        let now = Instant::now();
        (now, now.saturating_duration_since(self.began + BEAT))
    }
}

impl Pauses {
    pub(crate) fn watched() -> Self {
        let (end, ended) = mpsc::channel::<()>();
        let seen = Arc::new(Mutex::new(Seen { began: Instant::now(), pauses: Vec::new() }));
        let (watched, mut file) = (Arc::clone(&seen), tempfile::tempfile().unwrap());
        thread::spawn(move || {
            while ended.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                // A disk can stand still by itself.
                file.write_all(b".").and_then(|()| file.sync_data()).unwrap();
                let mut seen = watched.lock().unwrap();
                let beat = seen.late();
                if beat.1 > BEAT {
                    seen.pauses.push(beat);
                }
                seen.began = beat.0;
            }
        });
        Self { seen, _end: end }
    }

    /// The most that was lost to pauses in any time so long.
    pub(crate) fn most_within(&self, time: Duration) -> Duration {
        let seen = self.seen.lock().unwrap();
        let pauses: Vec<_> = seen.pauses.iter().copied().chain([seen.late()]).collect();
        let lost = |until: Instant| {
            let near = pauses.iter().filter(|(ended, _)| *ended <= until && until - *ended <= time);
            near.map(|(_, late)| *late).sum()
        };
        pauses.iter().map(|(ended, _)| lost(*ended)).max().unwrap_or_default()
    }
}
