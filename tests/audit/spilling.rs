//! The disk between the pipeline and a store that does not take its batches.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::Path};

use super::*;

/// The next run over what this one left; the store is well again.
async fn next(pipeline: Pipeline) -> (Pipeline, JoinHandle<()>) {
    tokio::time::pause();
    next_in_real_time(pipeline).await
}

async fn next_in_real_time(pipeline: Pipeline) -> (Pipeline, JoinHandle<()>) {
    let Pipeline { folder, store, .. } = pipeline;
    // The database is free when its store is gone.
    drop(store);
    Pipeline::started(Pipeline::over(folder, SPILL_MAX)).await
}

fn copied(segments: &[PathBuf]) -> Vec<(PathBuf, Vec<u8>)> {
    segments.iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Denials from the first N addresses of each of three flushes, none of which the store accepts; then the end.
async fn three_flushes_on_the_disk() -> (Pipeline, Accounts) {
    let (mut pipeline, run) = Pipeline::running().await;
    pipeline.store.take_batches(0);
    for flush in 0..3 {
        let length = |pipeline: &Pipeline| copied(&pipeline.segments()).iter().map(|(_, it)| it.len()).sum::<usize>();
        let before = length(&pipeline);
        pipeline.deny_addresses(flush * 100..flush * 100 + 100);
        eventually("the flush is on the disk", async || (length(&pipeline) > before).then_some(())).await;
    }
    let accounts = pipeline.stop(run).await;
    (pipeline, accounts)
}

/// The last byte of each address that is in the store, by hundreds: which flush's are there.
async fn flushes(pipeline: &Pipeline) -> BTreeMap<u32, usize> {
    let mut found = BTreeMap::new();
    for record in pipeline.records().await {
        let IpAddr::V4(address) = record.network.unwrap().net().addr() else { panic!("{record:?}") };
        assert_eq!(record.count, 1);
        *found.entry(Ipv4Addr::to_bits(address) / 100).or_default() += 1;
    }
    found
}

fn damaged(folder: &Path) -> usize {
    let files = fs::read_dir(folder.join("audit")).unwrap();
    files.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|it| it == "damaged")).count()
}

#[tokio::test(start_paused = true)]
async fn what_a_stopping_process_cannot_store_waits_on_the_disk_for_the_next() {
    let (pipeline, accounts) = three_flushes_on_the_disk().await;
    assert_eq!(accounts, Accounts { logged: 300, ..Accounts::default() });
    let (mut pipeline, run) = next(pipeline).await;
    pipeline.stored(300).await;
    assert_eq!(pipeline.segments(), [] as [PathBuf; 0]);
    assert_eq!(pipeline.stop(run).await, Accounts { in_store: 300, stored: 300, ..Accounts::default() });
    assert_eq!(flushes(&pipeline).await, BTreeMap::from([(0, 100), (1, 100), (2, 100)]));
    assert_eq!(pipeline.records_of(EventKind::Gap).await, [], "it had stopped well");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_nothing_while_the_disk_has_room() {
    let (mut pipeline, run) = Pipeline::running().await;
    pipeline.store.appends.close();
    pipeline.deny_addresses(0..15_000);
    pipeline.spilled().await;
    pipeline.deny_addresses(15_000..30_000);
    sleep(3 * FLUSH).await;
    assert_eq!((pipeline.counter("stored"), pipeline.counter("lost")), (0, 0));
    pipeline.store.appends.open();
    pipeline.stored(30_000).await;
    assert_eq!(pipeline.stop(run).await, Accounts::all_stored(30_000));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_the_store_took_without_saying_so_is_there_once() {
    let (mut pipeline, run) = Pipeline::running().await;
    pipeline.store.appended.close();
    pipeline.deny_addresses(0..100);
    pipeline.store.appended.arrival().await;
    pipeline.spilled().await;
    pipeline.store.appended.open();
    pipeline.stored(100).await;
    assert_eq!(pipeline.stop(run).await, Accounts::all_stored(100));
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_a_crash_kept_from_being_deleted_is_delivered_once() {
    let (pipeline, _) = three_flushes_on_the_disk().await;
    let segments = copied(&pipeline.segments());
    assert!(!segments.is_empty());
    let (mut pipeline, run) = next(pipeline).await;
    pipeline.stored(300).await;
    pipeline.stop(run).await;
    segments.iter().for_each(|(path, content)| fs::write(path, content).unwrap());
    let (mut pipeline, run) = next(pipeline).await;
    eventually("it is put away", async || pipeline.segments().is_empty().then_some(())).await;
    let accounts = pipeline.stop(run).await;
    assert_eq!((accounts.in_store, accounts.stored), (300, 0), "what the earlier run stored, that run has counted");
}

#[tokio::test(start_paused = true)]
async fn of_a_segment_with_a_torn_tail_the_rest_is_kept() {
    let (pipeline, _) = three_flushes_on_the_disk().await;
    let segment = &pipeline.segments().pop().unwrap();
    let content = fs::read(segment).unwrap();
    fs::write(segment, &content[..content.len() - 5]).unwrap();
    let (mut pipeline, run) = next(pipeline).await;
    pipeline.stored(200).await;
    pipeline.stop(run).await;
    assert_eq!(flushes(&pipeline).await, BTreeMap::from([(0, 100), (1, 100)]));
    assert_eq!((pipeline.segments().len(), damaged(pipeline.folder.path())), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_segment_is_moved_aside_and_costs_the_damaged_batch_only() {
    let (pipeline, _) = three_flushes_on_the_disk().await;
    // The first one is of the first flush; this one has both of the others.
    let segment = &pipeline.segments().pop().unwrap();
    let mut content = fs::read(segment).unwrap();
    let inside = content.len() / 4;
    content[inside] ^= 1;
    fs::write(segment, content).unwrap();
    // And one that is not a segment, which must not block the others.
    fs::write(segment.with_file_name("00000000000000000000.spill"), "garbage".repeat(100)).unwrap();
    let (mut pipeline, run) = next(pipeline).await;
    pipeline.stored(200).await;
    eventually("both are aside", async || pipeline.segments().is_empty().then_some(())).await;
    pipeline.stop(run).await;
    assert_eq!(flushes(&pipeline).await, BTreeMap::from([(0, 100), (2, 100)]));
    assert_eq!(damaged(pipeline.folder.path()), 2);
}

#[tokio::test(start_paused = true)]
async fn beyond_its_bound_the_spill_loses_and_counts_exactly() {
    const MAX: u64 = 64 * 1024;
    let (mut pipeline, run) = Pipeline::started(Pipeline::over(tempfile::tempdir().unwrap(), MAX)).await;
    pipeline.store.take_batches(0);
    for flush in 0..5 {
        pipeline.deny_addresses(flush * 100..flush * 100 + 100);
        sleep(2 * FLUSH).await;
    }
    let waiting: usize = copied(&pipeline.segments()).iter().map(|(_, content)| content.len()).sum();
    let lost = pipeline.counter("lost");
    assert!(waiting as u64 <= MAX && lost > 0 && lost.is_multiple_of(100), "{waiting} bytes, {lost} lost");
    pipeline.store.take_batches(usize::MAX);
    pipeline.stored(500 - lost).await;
    let accounts = pipeline.stop(run).await;
    let kept = 500 - lost;
    let expected = Accounts { in_store: kept, stored: kept, lost, logged: 500, logged_as_lost: lost };
    assert_eq!(accounts, expected);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_delivered_in_its_order_and_before_what_comes_later() {
    let (mut pipeline, run) = Pipeline::running().await;
    pipeline.store.take_batches(0);
    for address in 0..5 {
        pipeline.deny_addresses(address..address + 1);
        sleep(2 * FLUSH).await;
    }
    pipeline.store.take_batches(usize::MAX);
    pipeline.deny_addresses(5..6);
    pipeline.stored(6).await;
    pipeline.stop(run).await;
    let all = AuditOrder::Stored { after: RecordId(0), upto: RecordId(i64::MAX) };
    let stored = pipeline.store.audit(AuditQuery { order: all, ..AuditQuery::ALL }).await.unwrap();
    let addresses: Vec<_> = stored.iter().map(|stored| stored.record.network.unwrap().to_string()).collect();
    assert_eq!(addresses, (0..6).map(|last| format!("0.0.0.{last}/32")).collect::<Vec<_>>());
}

/// When the last flush was, as the run has written it down.
fn flushed(pipeline: &Pipeline) -> i64 {
    last_flush(&pipeline.folder.path().join("audit"))
}

/// In real time: a paused clock runs ahead of the store's.
#[tokio::test]
async fn a_run_that_was_cut_off_leaves_one_gap_and_names_its_last_flush() {
    let (pipeline, run) = Pipeline::running().await;
    let first = flushed(&pipeline);
    eventually("it flushes again", async || (flushed(&pipeline) > first).then_some(())).await;
    run.abort();
    let _ = run.await;
    // A running flush continues if its caller leaves, and holds the store and its lock.
    eventually("no flush is under way", async || (Arc::strong_count(&pipeline.store) == 1).then_some(())).await;
    let last = flushed(&pipeline);
    // Cut off again before it has a clock, and so before it can say anything.
    let Pipeline { folder, store, .. } = pipeline;
    drop(store);
    let (pipeline, run) = Pipeline::over(folder, SPILL_MAX);
    drop(run);
    let (mut pipeline, run) = next_in_real_time(pipeline).await;
    eventually("the gap is there", async || (!pipeline.records_of(EventKind::Gap).await.is_empty()).then_some(()))
        .await;
    pipeline.end(run).await;
    let [gap] = &pipeline.records_of(EventKind::Gap).await[..] else { panic!("one gap") };
    assert_eq!(gap.first_at.as_millis(), last, "{gap:?}");
    assert!(gap.detail.as_ref().unwrap().contains(&gap.first_at.to_string()), "{gap:?}");
    let (mut pipeline, run) = next_in_real_time(pipeline).await;
    pipeline.end(run).await;
    assert_eq!(pipeline.records_of(EventKind::Gap).await.len(), 1, "recorded once");
}
