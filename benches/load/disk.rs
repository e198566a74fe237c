//! How long the disk takes to make a small write safe.

use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

/// Milliseconds at these quantiles of `fdatasync` after a write of 4 KiB, every 5 ms for `time`.
pub(crate) fn fdatasync(folder: &Path, time: Duration, quantiles: [f64; 2]) -> [f64; 2] {
    let mut file = File::create(folder.join("probe")).expect("a file");
    let (end, mut took) = (Instant::now() + time, Vec::new());
    while Instant::now() < end {
        file.write_all(&[7; 4096]).expect("room on the disk");
        let began = Instant::now();
        file.sync_data().expect("a disk");
        took.push(began.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(5));
    }
    took.sort_by(f64::total_cmp);
    quantiles.map(|at| took[((took.len() - 1) as f64 * at) as usize])
}
