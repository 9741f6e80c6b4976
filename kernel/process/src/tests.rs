// SPDX-License-Identifier: GPL-2.0
//! Tests in the kernel.

use macros::kunit_tests;

#[kunit_tests(process)]
mod in_kernel {
    use crate::thread::thread_of;
    use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use kalloc::Arc;
    use kalloc::flags::GFP_KERNEL;
    use sync::Completion;
    use task::state::TaskFlags;
    use task::{State, current};

    /// How long a test waits for what must come, whatever else the machine does.
    const PATIENCE_NS: u64 = 20_000_000_000;
    const WAITED: u32 = 1;
    const REFUSED: u32 = 2;

    /// What a test and its thread tell each other.
    struct Shared {
        first: AtomicU32,
        second: AtomicU32,
        go: Completion,
        done: Completion,
    }

    impl Shared {
        fn new() -> errno::Result<Arc<Self>> {
            let new = Self {
                first: AtomicU32::new(0),
                second: AtomicU32::new(0),
                go: Completion::new(),
                done: Completion::new(),
            };
            Ok(Arc::new(new, GFP_KERNEL)?)
        }
    }

    /// Waits until `done` says yes, or too long.
    fn wait_for(done: impl Fn() -> bool) {
        let deadline = ktime::now_ns() + PATIENCE_NS;
        while !done() && ktime::now_ns() < deadline {
            ktime::sleep_ns(1_000_000);
        }
    }

    fn outcome(result: errno::Result) -> u32 {
        if result.is_ok() { WAITED } else { REFUSED }
    }

    /// A fatal signal ends a killable wait, but not that of a task which is ending by it already.
    #[test]
    fn killable_waits_of_the_killed_and_of_the_dying() {
        let Ok(shared) = Shared::new() else { return assert!(false) };
        let its = shared.clone();
        let thread = task::kthread_run(b"killable", move || {
            let task = current();
            if let Some(thread) = thread_of(&task) {
                thread.kill.store(true, SeqCst);
                task.set_flags(TaskFlags::SIGPENDING);
                its.first.store(outcome(its.go.wait_killable()), SeqCst);
                thread.exiting.store(true, SeqCst);
                its.second.store(outcome(its.go.wait_killable()), SeqCst);
                // As it was, for its real end.
                thread.exiting.store(false, SeqCst);
                thread.kill.store(false, SeqCst);
                task.clear_flags(TaskFlags::SIGPENDING);
            }
            its.done.complete();
        });
        let Ok(thread) = thread else { return assert!(false) };
        let asleep = || shared.first.load(SeqCst) != 0 && thread.state() == State::KILLABLE;
        wait_for(|| asleep() || shared.second.load(SeqCst) != 0);
        assert_eq!(shared.first.load(SeqCst), REFUSED);
        shared.go.complete();
        shared.done.wait();
        assert_eq!(shared.second.load(SeqCst), WAITED);
    }

    /// Nobody gets hold of what a process has in the middle of an `execve`.
    #[test]
    fn nobody_looks_inside_during_execve() {
        let Ok(shared) = Shared::new() else { return assert!(false) };
        let its = shared.clone();
        let target = task::kthread_run(b"execve", move || {
            let guard = crate::exec::Guard::new();
            its.first.store(outcome(guard.as_ref().map(|_| ()).map_err(|&error| error)), SeqCst);
            its.go.wait();
            its.second.store(1, SeqCst);
            drop(guard);
            its.done.wait();
        });
        let Ok(target) = target else { return assert!(false) };
        wait_for(|| shared.first.load(SeqCst) != 0);
        assert_eq!(shared.first.load(SeqCst), WAITED);
        let its = shared.clone();
        let Ok(answer) = Arc::new((AtomicU32::new(0), Completion::new()), GFP_KERNEL) else { return assert!(false) };
        let (told, looked_at) = (answer.clone(), target.clone());
        let looker = task::kthread_run(b"looker", move || {
            let found = crate::access::look_inside(&looked_at, |_| true, || its.second.load(SeqCst));
            told.0.store(if found == Ok(Some(1)) { WAITED } else { REFUSED }, SeqCst);
            told.1.complete();
        });
        ktime::sleep_ns(20_000_000);
        let early = answer.0.load(SeqCst);
        shared.go.complete();
        if looker.is_ok() {
            answer.1.wait();
        }
        assert_eq!((early, answer.0.load(SeqCst)), (0, WAITED));
        assert_eq!(crate::access::look_inside(&target, |_| false, || ()), Ok(None));
        shared.done.complete();
    }

    /// Changes of a limit are steps: none is lost.
    #[test]
    fn limits_change_one_at_a_time() {
        const STEPS: u64 = 20_000;
        const CHANGERS: u64 = 3;
        let Ok(limits) = Arc::new(rlimit::Rlimits::initial(), GFP_KERNEL) else { return assert!(false) };
        let Ok(done) = Arc::new(Completion::new(), GFP_KERNEL) else { return assert!(false) };
        let before = limits.get(uapi::RLIMIT_NOFILE);
        for _ in 0..CHANGERS {
            let (limits, its_done) = (limits.clone(), done.clone());
            let thread = task::kthread_run(b"limits", move || {
                for _ in 0..STEPS {
                    let step = limits
                        .update(uapi::RLIMIT_NOFILE, |old| Ok(rlimit::Limit { cur: old.cur + 1, max: old.max + 2 }));
                    debug_assert!(step.is_ok());
                }
                its_done.complete();
            });
            if thread.is_err() {
                // The sum below will tell.
                done.complete();
            }
        }
        for _ in 0..CHANGERS {
            done.wait();
        }
        let after = limits.get(uapi::RLIMIT_NOFILE);
        assert_eq!((after.cur - before.cur, after.max - before.max), (CHANGERS * STEPS, 2 * CHANGERS * STEPS));
        assert_eq!(limits.update(uapi::RLIMIT_NOFILE, |_| Err(errno::code::EPERM)), Err(errno::code::EPERM));
        assert_eq!(limits.get(uapi::RLIMIT_NOFILE), after);
    }

    /// Kernel threads are tasks like others, but those that nobody can do without.
    #[test]
    fn kernel_threads_within_threads_max() {
        let most = crate::nproc::threads_max();
        assert!(crate::nproc::set_threads_max(1).is_ok());
        let refused = task::kthread_create(b"refused", || ()).err();
        let vital = task::kthread::kthread_create_vital(b"vital", || ());
        assert!(crate::nproc::set_threads_max(most).is_ok());
        assert_eq!(refused, Some(errno::code::EAGAIN));
        assert!(vital.is_ok());
        if let Ok(vital) = vital {
            task::kthread::wake_up_new(vital);
        }
    }

    #[test]
    fn proxies_have_the_first_name_spaces_where_they_have_none() -> errno::Result {
        use crate::ns::{self, NsProxy, Slot, of};
        let mut proxy = NsProxy::default();
        let first = proxy.space(Slot::Uts).ok_or(errno::code::EINVAL)?;
        assert_eq!(first.number(), vfs::nsfs::number::UTS);
        assert!(of(&current(), Slot::Uts).is_some_and(|own| Arc::ptr_eq(&own, &first)));
        ns::uts::create_in(&mut proxy)?;
        let second = proxy.space(Slot::Uts).ok_or(errno::code::EINVAL)?;
        assert!(second.number() != first.number() && second.kind().flag == uapi::CLONE_NEWUTS);
        // A copy is in the same ones; the current task is where it was.
        let copy = proxy.clone();
        assert!(copy.space(Slot::Uts).is_some_and(|ns| Arc::ptr_eq(&ns, &second)));
        assert!(of(&current(), Slot::Uts).is_some_and(|own| Arc::ptr_eq(&own, &first)));
        Ok(())
    }
}
