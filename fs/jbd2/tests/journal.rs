// SPDX-License-Identifier: GPL-2.0
//! The running side: transactions, frozen copies, revokes, space, aborts, threads.

mod common;
use common::*;
use errno::code::*;
use jbd2::format::*;
use jbd2::host::*;
use jbd2::*;
use std::sync::atomic::Ordering;

const VARIANTS: [(u32, u32); 7] = [
    (0, 0),
    (0, INCOMPAT_64BIT),
    (COMPAT_CHECKSUM, 0),
    (COMPAT_CHECKSUM, INCOMPAT_ASYNC_COMMIT),
    (0, INCOMPAT_CSUM_V2),
    (0, INCOMPAT_CSUM_V2 | INCOMPAT_64BIT),
    (0, INCOMPAT_CSUM_V3 | INCOMPAT_64BIT | INCOMPAT_ASYNC_COMMIT),
];

fn put(journal: &J, block: u64, value: u64) {
    let mut handle = Journal::start(journal, 4, 0).unwrap();
    let buf = journal.system().bread(block);
    handle.get_write_access(&buf).unwrap();
    buf.set(|data| fill(data, value));
    handle.dirty_metadata(&buf).unwrap();
    handle.stop().unwrap();
}

fn on_disk(disk: &Disk, block: u64) -> u64 {
    let mut data = [0; BLOCK];
    disk.read(block, &mut data).unwrap();
    u64::from_le_bytes(*data.first_chunk().unwrap())
}

#[test]
fn a_commit_is_replayed() {
    for (compat, incompat) in VARIANTS {
        let disk = Disk::new(image(compat, incompat), BLOCK);
        let (journal, done) = open(&disk).unwrap();
        assert!(!done.needed);
        for block in 0..40 {
            put(&journal, block, block + 100);
        }
        // One that looks like a block of the journal's own.
        let escaped = u64::from_le_bytes([0xc0, 0x3b, 0x39, 0x98, 1, 2, 3, 4]);
        put(&journal, 50, escaped);
        journal.commit_all().unwrap();
        put(&journal, 51, 1);
        assert_eq!(on_disk(&disk, 3), 0, "written home before the commit or by nobody");
        let after = Disk::new(disk.bytes(), BLOCK);
        let (_, done) = open(&after).unwrap();
        assert_eq!((done.replayed, done.failed_commit), (41, None), "{compat:x} {incompat:x}");
        for block in 0..40 {
            assert_eq!(on_disk(&after, block), block + 100);
        }
        assert_eq!((on_disk(&after, 50), on_disk(&after, 51)), (escaped, 0));
        // A clean end leaves nothing to do.
        journal.close().unwrap();
        assert_eq!((on_disk(&disk, 3), on_disk(&disk, 51)), (103, 1));
        let (_, done) = open(&Disk::new(disk.bytes(), BLOCK)).unwrap();
        assert!(!done.needed);
    }
}

#[test]
fn a_log_that_is_not_needed_is_left_out() {
    let disk = Disk::new(image(0, 0), BLOCK);
    let (journal, _) = open(&disk).unwrap();
    put(&journal, 20, 7);
    journal.commit_all().unwrap();
    let bytes = disk.bytes();
    for read_only in [true, false] {
        let after = Disk::new(bytes.clone(), BLOCK);
        let sys = HostSystem::new(after.clone(), after.clone());
        let config = Config { skip: true, read_only, ..Config::default() };
        let (journal, done) = Journal::open(sys, geometry(), BLOCK, config).unwrap();
        assert_eq!((done.needed, done.replayed), (true, 0));
        assert_eq!(on_disk(&after, 20), 0);
        // Nothing is written to a device that cannot be.
        journal.close().unwrap();
        assert_eq!(after.bytes() == bytes, read_only);
        let (_, again) = open(&Disk::new(after.bytes(), BLOCK)).unwrap();
        assert_eq!(again.needed, read_only);
        assert!(again.next_tid >= done.next_tid);
    }
}

#[test]
fn features_that_are_not_wanted_go() {
    let (compat, incompat) = (COMPAT_CHECKSUM, INCOMPAT_ASYNC_COMMIT);
    let disk = Disk::new(image(compat, incompat), BLOCK);
    let (journal, _) = open(&disk).unwrap();
    assert!(journal.features().has(INCOMPAT_ASYNC_COMMIT));
    put(&journal, 20, 7);
    journal.commit_all().unwrap();
    // What is in the log is read as it was written.
    let sys = HostSystem::new(disk.clone(), disk.clone());
    let config = Config { clear_compat: compat, clear_incompat: incompat, ..Config::default() };
    let (journal, done) = Journal::open(sys, geometry(), BLOCK, config).unwrap();
    assert!(done.needed && on_disk(&disk, 20) == 7);
    put(&journal, 21, 8);
    journal.commit_all().unwrap();
    let (journal, _) = open(&disk).unwrap();
    assert!(!journal.features().has(INCOMPAT_ASYNC_COMMIT) && on_disk(&disk, 21) == 8);
}

#[test]
fn frozen_copies() {
    let disk = Disk::new(image(0, INCOMPAT_CSUM_V3), BLOCK);
    let (journal, _) = open(&disk).unwrap();
    // A commit that the next transaction overtakes: it changes what the first one still has to copy. Done on a thread that
    // is kept from copying by an open handle of the first.
    put(&journal, 1, 10);
    let first = Journal::start(&journal, 4, 0).unwrap();
    let tid = first.tid();
    let committer = std::thread::spawn({
        let journal = journal.clone();
        move || journal.wait_commit(tid).unwrap()
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    first.stop().unwrap();
    put(&journal, 1, 11);
    committer.join().unwrap();
    let after = Disk::new(disk.bytes(), BLOCK);
    open(&after).unwrap();
    assert!(matches!(on_disk(&after, 1), 10 | 11));
    journal.commit_all().unwrap();
    let after = Disk::new(disk.bytes(), BLOCK);
    open(&after).unwrap();
    assert_eq!(on_disk(&after, 1), 11);
}

#[test]
fn revoked_blocks_stay() {
    for (compat, incompat) in VARIANTS {
        let disk = Disk::new(image(compat, incompat), BLOCK);
        let (journal, _) = open(&disk).unwrap();
        put(&journal, 5, 50);
        put(&journal, 6, 60);
        journal.commit_all().unwrap();
        let mut handle = Journal::start(&journal, 4, 2).unwrap();
        for block in [5, 6] {
            handle.revoke(block, Some(&journal.system().bread(block))).unwrap();
        }
        assert!(handle.revoke(7, None).is_err(), "more than it may");
        handle.stop().unwrap();
        put(&journal, 6, 61);
        journal.commit_all().unwrap();
        let mut data = [0; BLOCK];
        fill(&mut data, 55);
        disk.write(5, &data, WriteFlags::default()).unwrap();
        let after = Disk::new(disk.bytes(), BLOCK);
        let (_, done) = open(&after).unwrap();
        assert_eq!((on_disk(&after, 5), on_disk(&after, 6)), (55, 61));
        assert!(done.revoke_hits >= 1);
    }
}

#[test]
fn the_log_goes_round() {
    let disk = Disk::new(image(0, INCOMPAT_CSUM_V3 | INCOMPAT_64BIT), BLOCK);
    let (journal, _) = open(&disk).unwrap();
    for round in 0..5000 {
        put(&journal, round % 40, round);
        if round % 3 == 0 {
            journal.commit_all().unwrap();
        }
    }
    journal.commit_all().unwrap();
    let after = Disk::new(disk.bytes(), BLOCK);
    open(&after).unwrap();
    for block in 0..40 {
        assert_eq!(on_disk(&after, block), 4960 + block);
    }
}

#[test]
fn limits_of_credits() {
    let disk = Disk::new(image(0, 0), BLOCK);
    let (journal, _) = open(&disk).unwrap();
    assert_eq!(Journal::start(&journal, journal.max_credits() + 1, 0).err(), Some(ENOSPC));
    let mut handle = Journal::start(&journal, 1, 0).unwrap();
    assert!(!handle.extend(journal.max_credits(), 0).unwrap());
    assert!(handle.extend(10, 0).unwrap());
    assert_eq!(handle.credits(), 11);
    let tid = handle.tid();
    let other = journal.system().bread(9);
    assert_eq!(handle.dirty_metadata(&other), Err(EINVAL));
    handle.restart(5, 0).unwrap();
    assert_eq!((handle.credits(), handle.tid() >= tid), (5, true));
    handle.stop().unwrap();
}

#[test]
fn errors_abort() {
    let disk = Disk::new(image(0, 0), BLOCK);
    let (journal, _) = open(&disk).unwrap();
    put(&journal, 1, 1);
    journal.commit_all().unwrap();
    put(&journal, 1, 2);
    disk.broken.store(true, Ordering::Relaxed);
    assert_eq!(journal.commit_all(), Err(EIO));
    assert_eq!(journal.abort_reason(), Some(EIO));
    assert_eq!(*journal.system().abort.lock().unwrap(), Some(EIO));
    assert_eq!(Journal::start(&journal, 1, 0).err(), Some(EROFS));
    assert_eq!(journal.close(), Err(EIO));
    disk.broken.store(false, Ordering::Relaxed);
    let (_, done) = open(&Disk::new(disk.bytes(), BLOCK)).unwrap();
    assert_eq!(done.replayed, 1);
    // An abort for another reason is noted in the superblock, until the file system has taken note.
    let disk = Disk::new(image(0, 0), BLOCK);
    let (journal, _) = open(&disk).unwrap();
    journal.abort(EUCLEAN);
    let (journal, _) = open(&disk).unwrap();
    assert_eq!(journal.recorded_error(), Some(EUCLEAN));
    journal.clear_error().unwrap();
    let (journal, _) = open(&disk).unwrap();
    assert_eq!(journal.recorded_error(), None);
    // One that somebody asked for is no error.
    journal.abort(ESHUTDOWN);
    assert!(journal.is_aborted());
    let (journal, _) = open(&disk).unwrap();
    assert_eq!(journal.recorded_error(), None);
}

#[test]
fn damage_is_seen() {
    for (compat, incompat) in VARIANTS.into_iter().filter(|(compat, incompat)| *compat != 0 || incompat & 0x18 != 0) {
        let disk = Disk::new(image(compat, incompat), BLOCK);
        let (journal, _) = open(&disk).unwrap();
        for value in 1..4 {
            put(&journal, 1, value);
            put(&journal, 2, value);
            journal.commit_all().unwrap();
        }
        // The first copied block of the second transaction: superblock, then 4 blocks a transaction.
        let mut data = disk.bytes();
        let physical = geometry().map(1 + 4 + 1).unwrap() as usize;
        data[physical * BLOCK + 100] ^= 1;
        let after = Disk::new(data, BLOCK);
        let error = open(&after).err();
        if incompat & 0x18 != 0 && incompat & INCOMPAT_ASYNC_COMMIT == 0 {
            assert_eq!(error, Some(EBADMSG));
        } else {
            assert_eq!((error, on_disk(&after, 1)), (Some(EUCLEAN), 1));
        }
    }
}

#[test]
fn the_thread_brings_home() {
    // Either because it is time, or because half the log is taken: what was changed once holds it, 30 transactions of 20 blocks follow.
    for (expire_ms, rounds) in [(100, 1), (1_000_000, 30)] {
        let disk = Disk::new(image(0, INCOMPAT_CSUM_V3), BLOCK);
        let sys = HostSystem::new(disk.clone(), disk.clone());
        sys.expire_ns.store(expire_ms * 1_000_000, Ordering::Relaxed);
        let (journal, _) = Journal::open(sys, geometry(), BLOCK, Config::default()).unwrap();
        journal.begin_thread();
        let daemon = std::thread::spawn({
            let journal = journal.clone();
            move || journal.run_thread()
        });
        for round in 0..rounds {
            for block in 0..20 {
                put(&journal, block + if round == 0 { 0 } else { 40 }, round + 1);
            }
            journal.commit_all().unwrap();
            if round == 0 {
                assert_eq!(on_disk(&disk, 3), 0, "written home at once");
            }
        }
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while on_disk(&disk, 3) == 0 && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(on_disk(&disk, 3), 1, "after {expire_ms} ms, {rounds} transactions");
        // What is replayed now is what is there.
        let after = Disk::new(disk.bytes(), BLOCK);
        open(&after).unwrap();
        assert_eq!((on_disk(&after, 3), on_disk(&after, 43)), (1, if rounds == 1 { 0 } else { rounds }));
        journal.close().unwrap();
        daemon.join().unwrap();
    }
}

/// Nobody asks for these: the thread looks after the interval, whether it rested before or was busy, or the interval was longer.
#[test]
fn the_interval_ends_a_transaction() {
    let disk = Disk::new(image(0, INCOMPAT_CSUM_V3), BLOCK);
    let sys = HostSystem::new(disk.clone(), disk.clone());
    let every = |ms: u64| Config { commit_interval_ns: ms * 1_000_000, ..Config::default() };
    let (journal, _) = Journal::open(sys, geometry(), BLOCK, every(1_000_000)).unwrap();
    journal.begin_thread();
    let daemon = std::thread::spawn({
        let journal = journal.clone();
        move || journal.run_thread()
    });
    put(&journal, 1, 1);
    journal.commit_all().unwrap();
    journal.set_config(every(20));
    for (round, pause) in [0u64, 0, 5, 19, 21, 100, 0].into_iter().enumerate() {
        std::thread::sleep(std::time::Duration::from_millis(pause));
        let before = journal.committed_tid();
        put(&journal, 2, round as u64);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while journal.committed_tid() == before && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_ne!(journal.committed_tid(), before, "after a pause of {pause} ms");
    }
    journal.close().unwrap();
    daemon.join().unwrap();
}

#[test]
fn threads() {
    let disk = Disk::new(image(0, INCOMPAT_CSUM_V3), BLOCK);
    let sys = HostSystem::new(disk.clone(), disk.clone());
    let (journal, _) = Journal::open(sys, geometry(), BLOCK, Config::default()).unwrap();
    journal.begin_thread();
    let daemon = std::thread::spawn({
        let journal = journal.clone();
        move || journal.run_thread()
    });
    let writers: Vec<_> = (0..4u64)
        .map(|writer| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                let mut rng = Rng(writer + 1);
                for round in 0..600 {
                    let mut handle = Journal::start(&journal, 9, 0).unwrap();
                    for _ in 0..1 + rng.below(8) {
                        // Blocks of its own: what the file system's locks would see to.
                        let buf = journal.system().bread(writer * 20 + rng.below(20));
                        handle.get_write_access(&buf).unwrap();
                        buf.set(|data| fill(data, round));
                        handle.dirty_metadata(&buf).unwrap();
                    }
                    let buf = journal.system().bread(writer * 20);
                    handle.get_write_access(&buf).unwrap();
                    buf.set(|data| fill(data, round));
                    handle.dirty_metadata(&buf).unwrap();
                    if rng.one_in(20) {
                        handle.set_sync();
                    }
                    handle.stop().unwrap();
                    if rng.one_in(30) {
                        let buf = journal.system().bread(rng.below(80));
                        buf.write_back().unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    journal.close().unwrap();
    daemon.join().unwrap();
    for writer in 0..4 {
        assert_eq!(on_disk(&disk, writer * 20), 599);
    }
    let stats = journal.stats();
    assert!(stats.commits > 0 && stats.handles == 2400, "{stats:?}");
}
