//! Settings that change while serving: by SIGHUP, or because the file changed.

use std::{
    convert::Infallible,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    signal::unix::Signal,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, info, warn};

use crate::{
    config::{Config, Faults, Setting, Written},
    settings::LiveSettings,
    telemetry::{logs::Log, metrics::ReloadMetrics},
};

/// How often the file is looked at. A look is one stat: inotify would miss the swapped links of a Kubernetes ConfigMap
/// and everything on a network file system.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reads the settings again, from where the process's own came from.
pub struct Source {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// Reads it, and the environment.
    pub load: Box<dyn Fn() -> Result<Config, Faults> + Send>,
}

/// What takes new settings.
pub(super) struct Reload {
    pub(super) source: Source,
    /// What the process runs by: not always the last file.
    pub(super) running: Written,
    pub(super) settings: Arc<LiveSettings>,
    pub(super) log: Log,
    pub(super) metrics: ReloadMetrics,
}

impl Reload {
    pub(super) async fn run(mut self, mut hangup: Signal) -> Infallible {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.source.file.as_deref().and_then(stamp);
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                _ = look.tick() => {
                    let now = self.source.file.as_deref().and_then(stamp);
                    // A file that is away for a moment, as while it is replaced, is not a change.
                    if now.is_none() || now == seen {
                        continue;
                    }
                }
            }
            seen = self.source.file.as_deref().and_then(stamp);
            self.reload();
        }
    }

    /// All of what may change, or nothing.
    fn reload(&mut self) {
        let config = match (self.source.load)() {
            Ok(config) => config,
            Err(faults) => {
                self.metrics.refused();
                error!(%faults, "the new configuration is not valid; the running one stays");
                return;
            }
        };
        let changed = self.running.changed(&config.written);
        let (live, fixed): (Vec<_>, Vec<_>) = changed.into_iter().partition(|key| is_live(key));
        self.settings.replace(config.settings);
        self.log.set_level(config.log_level);
        self.metrics.applied();
        info!(changed = live.join(", "), "the configuration was read again");
        if !fixed.is_empty() {
            // Told until the restart.
            warn!(settings = fixed.join(", "), "these changes need a restart; the running values stay");
        }
        self.running.take_over(&config.written, &live);
    }
}

fn is_live(key: &str) -> bool {
    Setting::find(key).is_some_and(|setting| setting.live)
}

/// Which file this is and when it was written, through links.
fn stamp(file: &Path) -> Option<(u64, u64, i64, i64)> {
    let found = fs::metadata(file).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}
