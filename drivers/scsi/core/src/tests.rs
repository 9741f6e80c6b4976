// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel, with an adapter that answers as it is told.

use macros::kunit_tests;

#[kunit_tests(scsi)]
mod in_kernel {
    use crate::*;
    use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
    use errno::{Error, Result};
    use kalloc::flags::GFP_KERNEL;
    use kalloc::{Arc, KBox, KVec};
    use kernel::hardware::{ktime, locking};
    use locking::SpinLock;
    use scsi_proto::{Cdb, key, status};

    /// An answer.
    #[derive(Clone, Copy)]
    enum Say {
        Good,
        /// Sense key, code, qualifier.
        Sense(u8, u8, u8),
        Status(u8),
        Host(HostStatus),
        /// No answer, until it is aborted.
        Nothing,
        /// No room now.
        Full,
    }

    struct Fake {
        says: SpinLock<KVec<Say>>,
        kept: SpinLock<Option<KBox<Command>>>,
        sent: AtomicU32,
        aborted: AtomicBool,
    }

    const PARAMS: HostParams = HostParams {
        name: "KUnit",
        driver: "kunit",
        owner: None,
        hw_queues: 1,
        can_queue: 4,
        cmd_per_lun: 2,
        targets: 1,
        max_lun: 8,
        max_sectors: 64,
        max_segments: 8,
        max_segment_size: 65536,
        dma_alignment: 3,
        seg_boundary_mask: u64::MAX,
        no_write_same: false,
        unique_id: 0,
    };

    struct Ops(Arc<Fake>);

    impl HostOps for Ops {
        fn queue_command(&self, mut command: KBox<Command>, _: bool) -> Result<(), (Error, KBox<Command>)> {
            let say = self.0.says.lock_irqsave().remove(0).unwrap_or(Say::Good);
            if let Say::Full = say {
                return Err((EBUSY, command));
            }
            self.0.sent.fetch_add(1, SeqCst);
            match say {
                Say::Good | Say::Full => {}
                Say::Sense(key, asc, ascq) => {
                    command.status = status::CHECK_CONDITION;
                    let sense = [0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0];
                    command.sense_buffer(sense.len()).copy_from_slice(&sense);
                }
                Say::Status(status) => command.status = status,
                Say::Host(status) => command.host_status = status,
                Say::Nothing => {
                    let old = self.0.kept.lock_irqsave().replace(command);
                    drop(old);
                    return Ok(());
                }
            }
            done(command);
            Ok(())
        }

        fn abort(&self, _: &Unit, _: u32, _: u64) -> bool {
            self.0.aborted.store(true, SeqCst);
            false
        }

        fn reset_unit(&self, _: &Unit, _: u32, id: u64) -> bool {
            let kept = self.0.kept.lock_irqsave().take();
            if let Some(mut command) = kept {
                assert_eq!(command.id(), id);
                command.host_status = HostStatus::TimeOut;
                let before = self.0.sent.load(SeqCst);
                done(command);
                // It is sent again, but not before this is over.
                ktime::sleep_ns(50_000_000);
                assert_eq!(self.0.sent.load(SeqCst), before);
            }
            true
        }

        fn reset_host(&self) {}
    }

    /// Sends a command to a unit whose adapter answers so: the answer, and how often it was sent.
    fn ask(says: &[Say], retries: u32, timeout_ns: u64) -> Result<(Answer, u32, bool)> {
        let fake = Fake {
            says: SpinLock::new(KVec::from_slice(says, GFP_KERNEL)?),
            kept: SpinLock::new(None),
            sent: AtomicU32::new(0),
            aborted: AtomicBool::new(false),
        };
        let fake = Arc::new(fake, GFP_KERNEL)?;
        let host = Host::add(PARAMS, "devices/virtual/kunit_scsi", Arc::new(Ops(fake.clone()), GFP_KERNEL)?)?;
        let answer = crate::unit::Unit::new(&host, 0, 0).and_then(|unit| {
            let answer = unit.execute_plain(Cdb::test_unit_ready(), timeout_ns, retries);
            assert_eq!(unit.busy(), 0);
            answer
        });
        host.remove();
        Ok((answer?, fake.sent.load(SeqCst), fake.aborted.load(SeqCst)))
    }

    const ATTENTION: Say = Say::Sense(key::UNIT_ATTENTION, 0x29, 0);
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn unit_attentions_are_sent_again() -> Result {
        let (answer, sent, _) = ask(&[ATTENTION, ATTENTION], 3, SECOND)?;
        assert_eq!((answer.result, sent), (Ok(()), 3));
        let (answer, sent, _) = ask(&[ATTENTION; 8], 3, SECOND)?;
        assert_eq!((answer.result, sent, answer.status), (Err(EIO), 4, status::CHECK_CONDITION));
        assert_eq!(answer.sense_data().map(|sense| sense.asc), Some(0x29));
        // A program's command is not.
        let (answer, sent, _) = ask(&[ATTENTION], 0, SECOND)?;
        assert_eq!((answer.result, sent), (Err(EIO), 1));
        Ok(())
    }

    #[test]
    fn errors_are_linuxs() -> Result {
        for (say, error) in [
            (Say::Sense(key::MEDIUM_ERROR, 0x11, 0), ENODATA),
            (Say::Sense(key::ILLEGAL_REQUEST, 0x20, 0), EREMOTEIO),
            (Say::Sense(key::DATA_PROTECT, 0x27, 7), ENOSPC),
            (Say::Status(status::RESERVATION_CONFLICT), EBADE),
            (Say::Host(HostStatus::BadTarget), EIO),
            (Say::Host(HostStatus::TargetFailure), EREMOTEIO),
        ] {
            let (answer, sent, _) = ask(&[say], 5, SECOND)?;
            assert_eq!((answer.result, sent), (Err(error), 1));
        }
        Ok(())
    }

    /// A command that did not get there is no success.
    #[test]
    fn units_that_are_gone_do_not_answer() -> Result {
        let fake = Fake {
            says: SpinLock::new(KVec::new()),
            kept: SpinLock::new(None),
            sent: AtomicU32::new(0),
            aborted: AtomicBool::new(false),
        };
        let fake = Arc::new(fake, GFP_KERNEL)?;
        let host = Host::add(PARAMS, "devices/virtual/kunit_scsi", Arc::new(Ops(fake.clone()), GFP_KERNEL)?)?;
        let unit = crate::unit::Unit::new(&host, 0, 0);
        let asked = unit.and_then(|unit| {
            let ask = || unit.execute_plain(Cdb::test_unit_ready(), SECOND, 3);
            unit.set_online(false)?;
            let offline = ask()?;
            unit.set_online(true)?;
            let online = ask()?;
            unit.set_gone();
            Ok([offline, online, ask()?].map(|answer| (answer.result, answer.host_status)))
        });
        host.remove();
        let wanted = [(Err(EIO), HostStatus::NoConnect), (Ok(()), HostStatus::Ok), (Err(ENXIO), HostStatus::NoConnect)];
        assert_eq!((asked?, fake.sent.load(SeqCst)), (wanted, 1));
        Ok(())
    }

    #[test]
    fn busy_units_and_adapters_are_waited_for() -> Result {
        let (answer, sent, _) = ask(&[Say::Status(status::BUSY), Say::Status(status::TASK_SET_FULL)], 0, SECOND)?;
        assert_eq!((answer.result, sent), (Ok(()), 3));
        let (answer, sent, _) = ask(&[Say::Full, Say::Full, Say::Full, Say::Full], 0, SECOND)?;
        assert_eq!((answer.result, sent), (Ok(()), 1));
        Ok(())
    }

    #[test]
    fn late_commands_come_back() -> Result {
        let (answer, sent, aborted) = ask(&[Say::Nothing], 1, SECOND / 4)?;
        assert_eq!((answer.result, sent, aborted), (Ok(()), 2, true));
        let (answer, sent, _) = ask(&[Say::Nothing], 0, SECOND / 4)?;
        assert_eq!((answer.result, sent, answer.host_status), (Err(ETIMEDOUT), 1, HostStatus::TimeOut));
        Ok(())
    }
}
