//! Reloads the settings that can change at run time, on SIGHUP or when the file changes.

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

/// How often the file is checked, by one `stat`. inotify misses the swapped links of a Kubernetes ConfigMap and changes
/// on network file systems.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The sources of the configuration.
pub struct Source {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// Reads the file and the environment.
    pub load: Box<dyn Fn() -> Result<Config, Faults> + Send>,
}

/// The state of the reload task.
pub(super) struct Reload {
    pub(super) source: Source,
    /// The settings in use. Those that need a restart may differ from the file.
    pub(super) running: Written,
    pub(super) settings: Arc<LiveSettings>,
    pub(super) log: Arc<Log>,
    pub(super) metrics: ReloadMetrics,
}

impl Reload {
    pub(super) async fn run(mut self, mut hangup: Signal) -> Infallible {
        let mut check = interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = self.source.file.as_deref().and_then(stamp);
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                _ = check.tick() => {
                    let now = self.source.file.as_deref().and_then(stamp);
                    // A file that is missing for a moment, as while it is replaced, is not a change.
                    if now.is_none() || now == seen {
                        continue;
                    }
                }
            }
            seen = self.source.file.as_deref().and_then(stamp);
            self.reload();
        }
    }

    /// Applies all changed settings, or none if the configuration is not valid.
    fn reload(&mut self) {
        let config = match (self.source.load)() {
            Ok(config) => config,
            Err(faults) => {
                self.metrics.refused();
                error!(%faults, "the new configuration is not valid; the current settings stay in use");
                return;
            }
        };
        let changed = self.running.changed(&config.written);
        let (live, fixed): (Vec<_>, Vec<_>) = changed.into_iter().partition(|key| is_live(key));
        self.settings.replace(config.settings);
        self.log.set_level(config.log_level);
        self.metrics.applied();
        info!(changed = live.join(", "), "configuration reloaded");
        if !fixed.is_empty() {
            // Repeated at each reload, until the restart.
            warn!(settings = fixed.join(", "), "these changes need a restart; the current values stay in use");
        }
        self.running.take_over(&config.written, &live);
    }
}

fn is_live(key: &str) -> bool {
    Setting::find(key).is_some_and(|setting| setting.live)
}

/// Identifies the file and its last change. Follows links.
fn stamp(file: &Path) -> Option<(u64, u64, i64, i64)> {
    let found = fs::metadata(file).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}
