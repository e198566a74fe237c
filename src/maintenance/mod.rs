//! Periodic jobs.

pub mod archive;
pub mod counts;
pub mod last_seen;
pub mod rekey;
pub mod retention;
pub mod write_check;

use std::time::Duration;

use tokio::time::sleep;

use crate::store::StoreError;

/// Pause between two transactions, so that requests that wait for one can proceed.
const PAUSE: Duration = Duration::from_millis(100);

/// Repeats `step`, a transaction of at most `batch` rows, until one finds fewer or `most` rows are done. Returns the number
/// of rows.
async fn in_steps<S>(batch: u32, most: u64, step: impl Fn(u32) -> S) -> (u64, Result<(), StoreError>)
where
    S: Future<Output = Result<u64, StoreError>>,
{
    let mut done = 0;
    loop {
        match step(batch).await {
            Ok(rows) => {
                done += rows;
                if rows < u64::from(batch) || done >= most {
                    return (done, Ok(()));
                }
            }
            Err(cause) => return (done, Err(cause)),
        }
        sleep(PAUSE).await;
    }
}
