// SPDX-License-Identifier: GPL-2.0
//! `execve(2)`: from a path to a new program in place of the old one. Arguments are collected (`args`), the file is looked at
//! (scripts here, ELF in `elf`), and past the point of no return the old memory, threads and handlers go.

mod args;
mod creds;
mod elf;

use crate::coredump::SUID_DUMPABLE;
use crate::signal::syscalls::this;
use crate::signal::{SigActions, SigInfo, send};
use crate::thread::{Process, TREE, Thread};
use crate::{exit, fork, nproc, ptrace};
use args::Args;
use core::sync::atomic::Ordering;
use errno::Result;
use errno::code::{EINVAL, ELOOP, ENOEXEC, ERESTARTNOINTR, ESRCH};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use rlimit::Limit;
use sync::WaitQueue;
use task::current;
use vfs::File;
use vfs::namei::PathName;
use x86_cpu::regs::PtRegs;

/// Bytes of the file that decide its format (`BINPRM_BUF_SIZE`).
const HEAD: usize = 256;
/// Scripts that may name scripts.
const MAX_SCRIPTS: usize = 5;
/// Most stack of a program with more rights than its caller (`_STK_LIM`), whatever limit that has set.
const SECURE_STACK: u64 = 8 << 20;

/// What is looked at for a program: a file that may turn out to be a script.
struct Candidate {
    file: Arc<File>,
    /// The path given by the caller.
    name: KVec<u8>,
    /// The path of the file that is looked at: `name`, or the interpreter that a script named.
    interpreter: KVec<u8>,
    args: Args,
}

/// The program to run.
pub(super) struct Program {
    /// The file that is mapped (the script's interpreter, for scripts).
    file: Arc<File>,
    /// The path given by the caller (`AT_EXECFN`, and the task's name).
    name: KVec<u8>,
    args: Args,
    creds: creds::NewCreds,
}

/// `execve(2)`.
pub fn sys_execve(regs: &PtRegs) -> Result<usize> {
    execve_user(uapi::AT_FDCWD, regs.arg0(), regs.arg1(), regs.arg2(), 0)
}

/// `execveat(2)`.
pub fn sys_execveat(regs: &PtRegs) -> Result<usize> {
    let flags = regs.arg4() as u32;
    if flags & !(uapi::AT_EMPTY_PATH | uapi::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(EINVAL);
    }
    execve_user(regs.arg0() as i32, regs.arg1(), regs.arg2(), regs.arg3(), flags)
}

fn execve_user(dirfd: i32, path: usize, argv: usize, envp: usize, flags: u32) -> Result<usize> {
    let name = PathName::from_user(path, flags & uapi::AT_EMPTY_PATH != 0)?;
    nproc::may_exec()?;
    let file = vfs::tasks::open_exec_at(dirfd, name.as_bytes(), flags)?;
    let args = Args::from_user(argv, envp)?;
    let shown = args::display_name(dirfd, name.as_bytes())?;
    do_execve(file, shown, args)
}

/// Runs the program at `path` in the current task with these words; for `/init`. On success the caller returns to user mode.
pub fn kernel_execve(path: &[u8], argv: &[&[u8]], envp: &[&[u8]]) -> Result {
    let file = vfs::tasks::open_exec_at(uapi::AT_FDCWD, path, 0)?;
    let args = Args::from_kernel(argv, envp)?;
    let name = KVec::from_slice(path, GFP_KERNEL)?;
    do_execve(file, name, args).map(|_| ())
}

fn do_execve(file: Arc<File>, name: KVec<u8>, args: Args) -> Result<usize> {
    let interpreter = name.try_clone(GFP_KERNEL)?;
    let mut program = Candidate { file, name, interpreter, args };
    for _ in 0..=MAX_SCRIPTS {
        let mut head = [0u8; HEAD];
        let len = vfs::tasks::kernel_read(&program.file, 0, &mut head)?;
        let head = head.get(..len).unwrap_or(&[]);
        if head.starts_with(b"#!") {
            enter_script(&mut program, head)?;
            continue;
        }
        if !head.starts_with(b"\x7fELF") {
            return Err(ENOEXEC);
        }
        return run_elf(program, head);
    }
    Err(ELOOP)
}

/// `#! interpreter [argument]`: the interpreter takes the script's place, with the script's path as an argument.
fn enter_script(program: &mut Candidate, head: &[u8]) -> Result {
    let (interpreter, argument) = args::parse_shebang(head)?;
    program.args.replace_first(&program.interpreter)?;
    if let Some(argument) = argument {
        program.args.prepend(argument)?;
    }
    program.args.prepend(interpreter)?;
    program.interpreter = KVec::from_slice(interpreter, GFP_KERNEL)?;
    program.file = vfs::tasks::open_exec_at(uapi::AT_FDCWD, interpreter, 0)?;
    Ok(())
}

fn run_elf(found: Candidate, head: &[u8]) -> Result<usize> {
    let Candidate { file, name, args, .. } = found;
    let image = elf::Loaded::read(&file, head)?;
    let interpreter = image.interpreter(&file)?;
    // Who begins to trace it from here on is looked at with the rights that it has then.
    let guard = Guard::new()?;
    // What a script's own mode and capabilities say has no effect: the interpreter's count.
    let mut creds = creds::NewCreds::for_file(&file)?;
    if let Some(interpreter) = &interpreter {
        creds.with_part(interpreter.file());
    }
    let program = Program { file, name, args, creds };
    this(|_, thread| {
        let process = thread.process();
        let old_nr = thread.nr().ok_or(ESRCH)?.name().clone();
        let most_stack = if program.creds.secure { SECURE_STACK } else { rlimit::INFINITY };
        let new_mm = mm::Mm::new_exec(&mm::ExecLayout {
            randomize: program.creds.hides_layout || !has_personality(thread, uapi::ADDR_NO_RANDOMIZE),
            legacy: !program.creds.hides_layout && has_personality(thread, uapi::ADDR_COMPAT_LAYOUT),
            stack_limit: rlimit::current(uapi::RLIMIT_STACK).min(most_stack),
        })?;
        let name = program.args_name()?;
        // The other threads are not to go for a program that there is no memory for.
        fork::kill_other_threads(process)?;
        // The point of no return: from here on a failure ends the process.
        begin_new_program(thread, process, new_mm, &name, &program)?;
        drop(guard);
        if let Err(error) = elf::map_and_start(&program, &image, interpreter.as_ref()) {
            klog::pr_debug!("exec: pid {}: {:?} past the point of no return", process.pid(), error);
            // Taken on the way to user mode: what this call holds is given up first.
            send::force(&current(), SigInfo::kernel(uapi::SIGSEGV));
            return Err(error);
        }
        ptrace::stop::event(uapi::PTRACE_EVENT_EXEC, ptrace::number_for_tracer(&old_nr));
        Ok(0)
    })
}

/// Those who want to trace a process that is in `execve`.
static WAITERS: WaitQueue = WaitQueue::new();

/// Waits until `process` is in no `execve`. `ERESTARTNOINTR` for a signal.
pub(crate) fn wait_done(process: &Process) -> Result {
    WAITERS.wait_interruptible(|| !process.in_exec.load(Ordering::SeqCst)).map_err(|_| ERESTARTNOINTR)
}

/// The current process has no new tracer until this is dropped.
pub(crate) struct Guard(Arc<Process>);

impl Guard {
    /// Waits for another thread that is in `execve`: it ends this one, or fails. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let process = crate::current_process().ok_or(ESRCH)?;
        loop {
            wait_done(&process)?;
            let _tree = TREE.lock();
            if !process.in_exec.swap(true, Ordering::SeqCst) {
                return Ok(Self(process.clone()));
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.in_exec.store(false, Ordering::SeqCst);
        WAITERS.wake_up_all();
    }
}

/// Whether the process asked for `bit` by `personality(2)`.
fn has_personality(thread: &Thread, bit: u32) -> bool {
    thread.process().personality.load(Ordering::Relaxed) & bit != 0
}

/// What a program that is more than its caller must not take over from it (`PER_CLEAR_ON_SETID`).
const CALLERS_LAYOUT: u32 = uapi::ADDR_NO_RANDOMIZE | uapi::ADDR_COMPAT_LAYOUT | uapi::MMAP_PAGE_ZERO;

impl Program {
    /// The task's new name: the last component of the path.
    fn args_name(&self) -> Result<KVec<u8>> {
        let base = self.name.rsplit(|&b| b == b'/').next().unwrap_or(&[]);
        Ok(KVec::from_slice(base, GFP_KERNEL)?)
    }
}

/// Drops what the old program was and becomes an empty process with the new credentials.
fn begin_new_program(
    thread: &Thread,
    process: &Arc<Process>,
    new_mm: Arc<mm::Mm>,
    name: &[u8],
    program: &Program,
) -> Result {
    let task = current();
    // Dispositions shared with another process become private first: this can still fail.
    let private = Arc::new(process.actions.lock_irqsave().duplicate(), GFP_KERNEL)?;
    private.reset_for_exec();
    if task.is_kthread() {
        task::switch::install_fpu(x86_fpu::FpuState::new()?);
    }
    let (private_files, private_fs) = (vfs::tasks::unshare_files()?, vfs::tasks::unshare_fs()?);
    exit::leave_memory_for_exec(thread);
    drop(mm::replace_mm(new_mm)?);
    task.leave_kernel();
    exit::release_vfork(thread);
    private_files.install();
    private_fs.install();
    vfs::tasks::close_on_exec();
    install_actions(process, private);
    take_leaders_number(thread, process)?;
    task.set_comm(name);
    crate::hooks::exec(&task);
    crate::signal::send::flush_timers(process);
    for (word, value) in thread.altstack.iter().zip([0, 0, u64::from(uapi::SS_DISABLE)]) {
        word.store(value, Ordering::Relaxed);
    }
    // Neither a signal of the parent's choice nor a memory layout it knows.
    if program.creds.secure {
        thread.parent_death_signal.store(0, Ordering::Relaxed);
        if let Some(limits) = rlimit::of(&task) {
            // It refuses nothing.
            let lower = |old: Limit| Ok(Limit { cur: old.cur.min(SECURE_STACK), ..old });
            let _ = limits.update(uapi::RLIMIT_STACK, lower);
        }
    }
    // A 64-bit program starts without this one; `setarch -X` is for others, as in Linux.
    process.personality.fetch_and(!uapi::READ_IMPLIES_EXEC, Ordering::Relaxed);
    if program.creds.hides_layout {
        process.personality.fetch_and(!CALLERS_LAYOUT, Ordering::Relaxed);
    }
    crate::rseq::forget(thread);
    process.did_exec.store(true, Ordering::Relaxed);
    process.exit_signal.store(uapi::SIGCHLD as i32, Ordering::Relaxed);
    let dumpable = if program.creds.dumpable { 1 } else { SUID_DUMPABLE.load(Ordering::Relaxed) };
    process.dumpable.store(dumpable, Ordering::Relaxed);
    program.creds.commit()
}

fn install_actions(process: &Process, actions: Arc<SigActions>) {
    let old = core::mem::replace(&mut *process.actions.lock_irqsave(), actions);
    drop(old);
}

/// `execve` by a thread that is not the leader: it becomes the leader, under the process's number. What only the old leader was to hear
/// (signals for that thread alone) goes with it; what is the process's, or this thread's own, stays.
fn take_leaders_number(thread: &Thread, process: &Arc<Process>) -> Result {
    let task = current();
    let (own, number) = (task.tid(), process.pid());
    if own == number {
        return Ok(());
    }
    let (old, cut) = {
        let _tree = TREE.lock();
        let old = process.links.lock().leader.replace(task.to_arc());
        let its = old.as_ref().and_then(|old| crate::thread::thread_of(old));
        crate::pid::take_number(&task.to_arc(), own, number, || {
            if let Some(its) = its {
                thread.replace_leader(its);
            }
        })?;
        if let Some(old) = &old {
            crate::pid::take_ids(old);
        }
        // Nobody waits for the old leader any more; who traces it looks again.
        let cut = old.as_ref().zip(its).and_then(|(old, its)| ptrace::attach::unlink(old, its));
        (old, cut)
    };
    if let Some(its) = old.as_ref().and_then(|old| crate::thread::thread_of(old)) {
        its.give_back_number();
        exit::forget_pending(its);
    }
    if let Some((tracer, _)) = &cut
        && let Some(tracer) = crate::thread::process_of(tracer)
    {
        tracer.child_exit.wake_up_all();
    }
    Ok(())
}
