// SPDX-License-Identifier: GPL-2.0
//! Mapping an ELF program and its interpreter into the new address space, and the stack it starts on. Source: the System V ABI,
//! x86-64 supplement, 3.4 ("Process Initialization"); `getauxval(3)`.

use super::Program;
use crate::misc::PLATFORM;
use crate::user::copy_to_user;
use elf_format::{FileHeader, Image, Kind, Plan};
use errno::Result;
use errno::code::{EFAULT, EINVAL, EIO, ELIBBAD, ENOEXEC, ENOMEM};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVVec, KVec};
use task::current;
use vfs::File;
use x86_cpu::cpuid::features;
use x86_cpu::regs::{PtRegs, USER_CS, USER_DS};
use x86_mm::TASK_SIZE;
use x86_mm::uaccess::{UserPtr, clear_user};
use zerocopy::IntoBytes;

const PAGE: u64 = 4096;
const RFLAGS_IF: u64 = 1 << 9;
/// `AT_HWCAP2`: the FSGSBASE instructions may be used in user mode.
const HWCAP2_FSGSBASE: u64 = 1 << 1;

/// A program's headers, read and checked.
pub(super) struct Loaded {
    header: FileHeader,
    phdrs: KVec<u8>,
}

impl Loaded {
    /// Reads the headers of `file`, whose first bytes are `head`. `ENOEXEC` if it is no program for this machine.
    pub(super) fn read(file: &File, head: &[u8]) -> Result<Self> {
        let header = FileHeader::parse(head)?;
        let mut phdrs = KVec::from_elem(0u8, header.phdrs_len(), GFP_KERNEL)?;
        let offset = i64::try_from(header.phoff()).map_err(|_| ENOEXEC)?;
        // A table that cannot be read is none.
        match vfs::tasks::kernel_read(file, offset, &mut phdrs) {
            Ok(len) if len == phdrs.len() => Ok(Self { header, phdrs }),
            _ => Err(ENOEXEC),
        }
    }

    fn image(&self) -> Result<Image<'_>> {
        Image::parse(self.header, &self.phdrs)
    }

    /// Opens and reads the interpreter that the program names, if it names one.
    pub(super) fn interpreter(&self, file: &File) -> Result<Option<Interpreter>> {
        let Some((offset, len)) = self.image()?.interp else { return Ok(None) };
        let mut path = KVec::from_elem(0u8, len, GFP_KERNEL)?;
        let offset = i64::try_from(offset).map_err(|_| EINVAL)?;
        if vfs::tasks::kernel_read(file, offset, &mut path)? != len {
            return Err(EIO);
        }
        let path = Image::check_interp(&path)?;
        let file = vfs::tasks::open_exec_at(uapi::AT_FDCWD, path, 0)?;
        let mut head = [0u8; 64];
        if vfs::tasks::kernel_read(&file, 0, &mut head)? != head.len() {
            return Err(EIO);
        }
        let loaded = Loaded::read(&file, &head).map_err(|_| ELIBBAD)?;
        Ok(Some(Interpreter { file, loaded }))
    }
}

/// The dynamic linker.
pub(super) struct Interpreter {
    file: Arc<File>,
    loaded: Loaded,
}

impl Interpreter {
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// Where things ended up.
struct Placed {
    entry: u64,
    base: u64,
    phdr: u64,
    phnum: u64,
    start: u64,
}

/// Maps everything into the current (new, empty) address space and sets the registers to start there.
pub(super) fn map_and_start(program: &Program, loaded: &Loaded, interpreter: Option<&Interpreter>) -> Result {
    let mm = mm::current_mm().ok_or(ENOMEM)?;
    let image = loaded.image()?;
    let plan = image.plan(TASK_SIZE as u64)?;
    let stack_top = mm.map_stack(image.exec_stack.unwrap_or(false))?;
    let bias = match (plan.kind, interpreter) {
        (Kind::Dyn, Some(_)) => plan.bias(mm.pie_base() as u64, TASK_SIZE as u64)?,
        (Kind::Dyn, None) => {
            let base = mm.find_room(plan.total_size() as usize)? as u64;
            plan.bias(base, TASK_SIZE as u64)?
        }
        (Kind::Exec, _) => 0,
    };
    map_segments(&mm, &program.file, &plan, bias)?;
    let at = |address: u64| address.wrapping_add(bias) as usize;
    mm.set_heap(at(plan.brk));
    mm.update_marks(|marks| {
        (marks.start_code, marks.end_code) = (at(plan.code.start), at(plan.code.end));
        (marks.start_data, marks.end_data) = (at(plan.data.start), at(plan.data.end));
    });
    mm.set_exe_file(Some(program.file.clone() as Arc<dyn mm::VmFile>));
    let entry = plan.entry.wrapping_add(bias);
    let mut placed = Placed {
        entry,
        base: 0,
        phdr: plan.phdr_addr.map_or(0, |a| a.wrapping_add(bias)),
        phnum: u64::from(plan.phnum),
        start: entry,
    };
    if let Some(interpreter) = interpreter {
        (placed.base, placed.start) = map_interpreter(&mm, interpreter)?;
    }
    if placed.start >= TASK_SIZE as u64 {
        return Err(EINVAL);
    }
    let vdso = crate::hooks::map_vdso(&mm)?;
    let zero = crate::thread::current_process().is_some_and(|p| p.personality() & uapi::MMAP_PAGE_ZERO != 0);
    if zero {
        // As Linux: who may not have it goes without.
        let _ = mm.map_page_zero();
    }
    let sp = build_stack(program, &placed, stack_top as u64, vdso as u64, &mm)?;
    start(placed.start, sp);
    Ok(())
}

fn map_interpreter(mm: &mm::Mm, interpreter: &Interpreter) -> Result<(u64, u64)> {
    let image = interpreter.loaded.image().map_err(|_| ELIBBAD)?;
    let plan = image.plan(TASK_SIZE as u64)?;
    let bias = match plan.kind {
        Kind::Dyn => {
            let base = mm.find_room(plan.total_size() as usize)? as u64;
            plan.bias(base, TASK_SIZE as u64)?
        }
        Kind::Exec => 0,
    };
    map_segments(mm, &interpreter.file, &plan, bias)?;
    Ok((bias, plan.entry.wrapping_add(bias)))
}

/// Maps the file parts, clears the tails of their last pages, and maps what lies beyond the file as zeroes.
fn map_segments(mm: &mm::Mm, file: &Arc<File>, plan: &Plan, bias: u64) -> Result {
    let source: Arc<dyn mm::VmFile> = file.clone();
    for (index, segment) in plan.segments.iter().enumerate() {
        let at = |address: u64| address.wrapping_add(bias) as usize;
        let mut prot = 0;
        for (wanted, bit) in
            [(segment.read, uapi::PROT_READ), (segment.write, uapi::PROT_WRITE), (segment.exec, uapi::PROT_EXEC)]
        {
            prot |= if wanted { bit } else { 0 };
        }
        let prot = mm::Prot(prot);
        if segment.file_end > segment.start {
            let len = (segment.file_end - segment.start) as usize;
            mm.map_segment(&source, at(segment.start), len, prot, segment.offset, index == 0)?;
        }
        let zero_from = segment.file_end.max(segment.start);
        if segment.end > zero_from {
            mm.map_zero(at(zero_from), (segment.end - zero_from) as usize, segment.exec)?;
        }
        if !segment.clear.is_empty() {
            let range = segment.clear.range();
            let len = (range.end - range.start) as usize;
            let cleared = clear_user(UserPtr::from(at(range.start)), len) == 0;
            // As in Linux only the program's last zeros count, and a page that the file has lost shows when it is used.
            if !cleared && !segment.write && range.start == plan.data.end {
                return Err(EFAULT);
            }
        }
    }
    Ok(())
}

/// Writes strings, vectors and the auxiliary vector; returns the stack pointer.
fn build_stack(program: &Program, placed: &Placed, top: u64, vdso: u64, mm: &mm::Mm) -> Result<u64> {
    let args = &program.args;
    // From the top: a null word, the path, environment, arguments.
    let name_at = top - 8 - (program.name.len() as u64 + 1);
    let env_at = name_at.checked_sub(args.envp.len() as u64).ok_or(ENOMEM)?;
    let arg_at = env_at.checked_sub(args.argv.len() as u64).ok_or(ENOMEM)?;
    copy_to_user(arg_at as usize, &args.argv)?;
    copy_to_user(env_at as usize, &args.envp)?;
    copy_to_user(name_at as usize, &program.name)?;
    // Its end, and the null word.
    copy_to_user((top - 9) as usize, &[0; 9])?;
    mm.update_marks(|marks| {
        (marks.arg_start, marks.arg_end) = (arg_at as usize, env_at as usize);
        (marks.env_start, marks.env_end) = (env_at as usize, name_at as usize);
        (marks.start_stack, marks.vdso) = (arg_at as usize, vdso as usize);
    });
    // Below: the platform's name and random bytes, then the aligned vectors.
    let platform_at = (arg_at - PLATFORM.len() as u64) & !15;
    copy_to_user(platform_at as usize, PLATFORM)?;
    let mut seed = [0u8; 16];
    random::fill(&mut seed);
    let seed_at = platform_at - 16;
    copy_to_user(seed_at as usize, &seed)?;
    let auxv = auxiliary(program, placed, vdso, seed_at, platform_at, name_at);
    let words = 1 + args.argc + 1 + args.envc + 1 + auxv.len();
    let sp = (seed_at - words as u64 * 8) & !15;
    let mut block: KVVec<u64> = KVVec::with_capacity(words, GFP_KERNEL)?;
    block.push(args.argc as u64, GFP_KERNEL)?;
    push_pointers(&mut block, &args.argv, arg_at)?;
    push_pointers(&mut block, &args.envp, env_at)?;
    block.extend_from_slice(&auxv, GFP_KERNEL)?;
    copy_to_user(sp as usize, block.as_bytes())?;
    if let Some(process) = crate::thread::current_process() {
        let kept = kalloc::Arc::new(KVec::from_slice(&auxv, GFP_KERNEL)?, GFP_KERNEL)?;
        let old = process.auxv.lock().replace(kept);
        drop(old);
    }
    Ok(sp)
}

/// Pointers to the NUL-terminated strings at `base`, and a null.
fn push_pointers(block: &mut KVVec<u64>, strings: &[u8], base: u64) -> Result {
    let mut start = true;
    for (offset, &byte) in strings.iter().enumerate() {
        if start {
            block.push(base + offset as u64, GFP_KERNEL)?;
        }
        start = byte == 0;
    }
    block.push(0, GFP_KERNEL)?;
    Ok(())
}

const AUX_WORDS: usize = 42;

fn auxiliary(program: &Program, placed: &Placed, vdso: u64, seed: u64, platform: u64, name: u64) -> [u64; AUX_WORDS] {
    let cred = program.creds.cred();
    let hwcap2 = if features().fsgsbase { HWCAP2_FSGSBASE } else { 0 };
    // Smallest stack for a signal frame: the frame, its alignment, the vector state.
    let min_signal_stack = x86_fpu::sigframe_size() as u64 + 440 + 128 + 64 + 16;
    let pairs: [(u32, u64); AUX_WORDS / 2] = [
        (if vdso != 0 { uapi::AT_SYSINFO_EHDR } else { uapi::AT_IGNORE }, vdso),
        (uapi::AT_HWCAP, u64::from(features().hwcap)),
        (uapi::AT_PAGESZ, PAGE),
        (uapi::AT_CLKTCK, crate::times::USER_HZ),
        (uapi::AT_PHDR, placed.phdr),
        (uapi::AT_PHENT, 56),
        (uapi::AT_PHNUM, placed.phnum),
        (uapi::AT_BASE, placed.base),
        (uapi::AT_FLAGS, 0),
        (uapi::AT_ENTRY, placed.entry),
        (uapi::AT_UID, u64::from(cred.uid)),
        (uapi::AT_EUID, u64::from(cred.euid)),
        (uapi::AT_GID, u64::from(cred.gid)),
        (uapi::AT_EGID, u64::from(cred.egid)),
        (uapi::AT_SECURE, u64::from(program.creds.secure)),
        (uapi::AT_RANDOM, seed),
        (uapi::AT_HWCAP2, hwcap2),
        (uapi::AT_EXECFN, name),
        (uapi::AT_PLATFORM, platform),
        (uapi::AT_MINSIGSTKSZ, min_signal_stack),
        (uapi::AT_NULL, 0),
    ];
    let mut words = [0; AUX_WORDS];
    let flat = pairs.iter().flat_map(|&(kind, value)| [u64::from(kind), value]);
    for (to, from) in words.iter_mut().zip(flat) {
        *to = from;
    }
    words
}

/// Registers of a new program: all zero but the instruction and stack pointers.
fn start(entry: u64, sp: u64) {
    let task = current();
    task.with_user_regs(|regs| {
        *regs = PtRegs {
            orig_rax: u64::MAX,
            rip: entry,
            rsp: sp,
            cs: USER_CS,
            ss: USER_DS,
            rflags: RFLAGS_IF,
            ..PtRegs::default()
        };
    });
    task::switch::reset_segments();
    task::switch::with_fpu(|fpu| fpu.reset());
}
