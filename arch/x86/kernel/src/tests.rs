// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel: calls across CPUs, faults and oopses, frames before user mode, floating-point signal frames.

use macros::kunit_tests;

#[kunit_tests(x86_smp)]
mod smp {
    use crate::smp::{cpus_in, mask_of, num_online, on_cpu, on_cpus, on_each_cpu, on_other_cpus, online};
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

    #[test]
    fn each_cpu_runs_the_function_once() {
        for _ in 0..100 {
            let (seen, calls) = (AtomicU64::new(0), AtomicU32::new(0));
            on_each_cpu(&|| {
                seen.fetch_or(mask_of(x86_cpu::cpu_id()), SeqCst);
                calls.fetch_add(1, SeqCst);
            });
            assert_eq!(seen.load(SeqCst), online());
            assert_eq!(calls.load(SeqCst), num_online());
        }
    }

    #[test]
    fn others_leaves_the_caller_out() {
        let calls = AtomicU32::new(0);
        on_other_cpus(&|| {
            calls.fetch_add(1, SeqCst);
        });
        assert_eq!(calls.load(SeqCst), num_online() - 1);
    }

    #[test]
    fn a_cpu_that_does_not_run_is_refused() {
        assert!(!on_cpu(63, &|| {}));
        on_cpus(0, &|| {});
    }

    #[test]
    fn cpus_may_call_each_other_at_once() {
        // Every CPU has an interrupt handler calling it while all of them run one.
        let rounds = AtomicU32::new(0);
        for cpu in cpus_in(online()) {
            for _ in 0..50 {
                assert!(on_cpu(cpu, &|| {
                    rounds.fetch_add(1, SeqCst);
                }));
            }
        }
        assert_eq!(rounds.load(SeqCst), 50 * num_online());
    }
}

#[kunit_tests(x86_traps)]
mod traps {
    use crate::traps::oops;
    use kalloc::Arc;
    use kalloc::flags::GFP_KERNEL;
    use sync::Completion;
    use x86_cpu::regs::PtRegs;
    use x86_traps::exit::sanitise_user_frame;

    #[test]
    fn frames_are_made_harmless() {
        let mut regs = PtRegs {
            cs: 0x10,
            ss: 0x18,
            // IOPL 3, NT, VM, interrupts off, and what user code may have.
            rflags: 0x3000 | 0x4000 | 0x20000 | 0x10000 | 0x8d5,
            rip: 0x1234_5678_9abc_def0,
            ..PtRegs::default()
        };
        sanitise_user_frame(&mut regs);
        // The privilege of user mode; IRET refuses the rest.
        assert_eq!((regs.cs, regs.ss), (0x13, 0x18));
        assert_eq!(regs.rflags, 0x10000 | 0x4000 | 0x8d5 | 0x202);
        assert_eq!(((regs.rip as i64) << 16 >> 16) as u64, regs.rip);
    }

    #[test]
    fn a_breakpoint_in_the_kernel_returns() {
        // SAFETY: The handler prints a line and goes on.
        unsafe { core::arch::asm!("int3") };
    }

    #[test]
    fn an_oops_ends_its_thread_only() {
        struct Fallen(Arc<Completion>);
        let done = Arc::new(Completion::new(), GFP_KERNEL).unwrap();
        let fallen = Fallen(done.clone());
        let before = oops::count();
        let task = task::kthread_run(b"oops", move || {
            let Fallen(done) = &fallen;
            done.complete_all();
            // SAFETY: Not safe at all: address 8 is never mapped, and the fault is the test.
            unsafe { core::ptr::without_provenance_mut::<u32>(8).write_volatile(1) };
        })
        .unwrap();
        done.wait();
        for _ in 0..1000 {
            if task.state() == task::State::DEAD {
                break;
            }
            crate::clocks::delay::mdelay(1);
        }
        assert_eq!(oops::count(), before + 1);
        assert_eq!(task.state(), task::State::DEAD);
    }
}

#[kunit_tests(x86_fpu)]
mod fpu {
    use x86_fpu::{FP_XSTATE_MAGIC1, FpuState, sigframe_size};

    fn frame() -> ([u8; 4096], usize) {
        let mut bytes = [0u8; 4096];
        let mut state = FpuState::new().unwrap();
        let mut len = 0;
        let done = state.write_sigframe(|at, part| {
            bytes[at..at + part.len()].copy_from_slice(part);
            len = len.max(at + part.len());
            Ok(())
        });
        assert!(done.is_ok());
        (bytes, len)
    }

    fn read(bytes: &[u8]) -> errno::Result {
        read_into(bytes, &mut FpuState::new()?)
    }

    fn read_into(bytes: &[u8], state: &mut FpuState) -> errno::Result {
        state.read_sigframe(|at, to| {
            to.copy_from_slice(bytes.get(at..at + to.len()).ok_or(errno::code::EFAULT)?);
            Ok(())
        })
    }

    #[test]
    fn a_frame_comes_back() {
        let (bytes, len) = frame();
        assert_eq!(len, sigframe_size());
        assert!(read(&bytes[..len]).is_ok());
        if x86_fpu::xfeatures() != 0 {
            assert_eq!(bytes[464..468], FP_XSTATE_MAGIC1.to_le_bytes());
        }
    }

    #[test]
    fn a_bad_frame_is_refused() {
        let (mut bytes, len) = frame();
        assert!(read(&bytes[..100]).is_err());
        // MXCSR with reserved bits.
        bytes[24..28].fill(0xff);
        assert!(read(&bytes[..len]).is_err());
    }

    #[test]
    fn a_wild_header_is_refused() {
        let (mut bytes, len) = frame();
        if len > 576 {
            for (at, value) in [(512, 0x10), (519, 0xff), (520, 1), (575, 1)] {
                let old = core::mem::replace(&mut bytes[at], value);
                assert!(read(&bytes[..len]).is_err());
                bytes[at] = old;
            }
            assert!(read(&bytes[..len]).is_ok());
        }
    }

    #[test]
    fn rights_by_keys_are_in_images() -> errno::Result {
        let (mut bytes, len) = frame();
        let Some(at) = x86_fpu::pkru_at() else { return Ok(()) };
        assert_eq!(bytes[at..at + 8], 0x5555_5554u64.to_le_bytes());
        bytes[at..at + 4].copy_from_slice(&0x1234_5670u32.to_le_bytes());
        let mut state = FpuState::new()?;
        read_into(&bytes[..len], &mut state)?;
        assert_eq!(state.pkru(), 0x1234_5670);
        let copy = state.try_clone()?;
        assert_eq!(copy.pkru(), 0x1234_5670);
        // As a debugger sees and changes it.
        let image = &mut bytes[..x86_fpu::xstate_size()];
        state.user_image(image)?;
        assert_eq!(image[at..at + 8], 0x1234_5670u64.to_le_bytes());
        image[at] = 0x74;
        state.set_xsave(image)?;
        assert_eq!(state.pkru(), 0x1234_5674);
        // What is in its initial state allows everything.
        image[513] &= !2;
        state.set_xsave(image)?;
        assert_eq!(state.pkru(), 0);
        state.user_image(image)?;
        assert_eq!((image[513] & 2, &image[at..at + 8]), (0, &[0; 8][..]));
        assert!(read(&bytes[..100]).is_err());
        state.reset();
        assert_eq!(state.pkru(), x86_cpu::pkru::INIT);
        Ok(())
    }
}

#[kunit_tests(x86_segments)]
mod segments {
    use x86_cpu::segments::is_user_stack;
    use x86_mm::{Ldt, PageTable, UserDesc};

    const SEG_32BIT: u32 = UserDesc::SEG_32BIT;
    const CODE: u32 = 2 << UserDesc::CONTENTS;
    const CONFORMING: u32 = 3 << UserDesc::CONTENTS;
    const NOT_PRESENT: u32 = UserDesc::SEG_NOT_PRESENT;
    const USEABLE: u32 = UserDesc::USEABLE;

    #[test]
    fn descriptors() -> errno::Result {
        let first = Ldt::changed(None, &UserDesc::new([2, 0x1234_5678, 0x9_abcd, SEG_32BIT | USEABLE]), false)?;
        assert_eq!(first.entries(), [0, 0, 0x1259_f334_5678_abcd]);
        // The old form does not take the bit for free use, and 0 clears an entry.
        let second = Ldt::changed(Some(&first), &UserDesc::new([0, 0x1000, 0xfff, SEG_32BIT | CODE | USEABLE]), true)?;
        assert_eq!(second.entries(), [0x0040_fb00_1000_0fff, 0, 0x1259_f334_5678_abcd]);
        let third = Ldt::changed(Some(&second), &UserDesc::new([2, 0, 0, SEG_32BIT]), true)?;
        assert_eq!(third.entries(), [0x0040_fb00_1000_0fff, 0, 0]);
        assert_eq!(first.entries().len(), 3);
        Ok(())
    }

    #[test]
    fn what_no_program_may_have_is_refused() {
        let refused = |desc: [u32; 4], old: bool| Ldt::changed(None, &UserDesc::new(desc), old).is_err();
        assert!(refused([8192, 0x1000, 0xfff, SEG_32BIT], false));
        assert!(refused([0, 0x1000, 0xfff, SEG_32BIT | CONFORMING], false));
        assert!(refused([0, 0x1000, 0xfff, SEG_32BIT | CONFORMING | NOT_PRESENT], true));
        assert!(!refused([0, 0x1000, 0xfff, SEG_32BIT | CONFORMING | NOT_PRESENT], false));
        // 16 bits.
        assert!(refused([0, 0x1000, 0xfff, 0], false));
    }

    #[test]
    fn stack_segments() {
        // User data; code, the kernel's, none, one that cannot be written, those of a table that is not there.
        assert!(is_user_stack(0x2b));
        assert!([0x33, 0x18, 0x1b, 0, 3, 0x7b, 0x7, 0xffff].iter().all(|&selector| !is_user_stack(selector)));
    }

    #[test]
    fn a_table_that_nobody_has_loaded_is_replaced() -> errno::Result {
        let table = PageTable::new()?;
        let ldt = Ldt::changed(None, &UserDesc::new([0, 0x1000, 0xfff, SEG_32BIT]), false)?;
        assert!(table.set_ldt(Some(ldt.clone())).is_none());
        let old = table.set_ldt(None).ok_or(errno::code::EINVAL)?;
        assert!(kalloc::Arc::ptr_eq(&old, &ldt));
        Ok(())
    }
}

#[kunit_tests(x86_crc32c)]
mod crc {
    use crc32c::{ENGINE, by_tables, crc32c};

    #[test]
    fn the_instruction_gives_what_tables_do() {
        let bytes: [u8; 200] = core::array::from_fn(|i| (i * i) as u8);
        for from in 0..9 {
            for to in from..bytes.len() {
                assert_eq!(crc32c(!0, &bytes[from..to]), by_tables(!0, &bytes[from..to]));
            }
        }
        assert_eq!(ENGINE.get().is_some(), x86_cpu::cpuid::features().leaf1_ecx & 1 << 20 != 0);
    }
}
