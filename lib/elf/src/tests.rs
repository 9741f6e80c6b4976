// SPDX-License-Identifier: GPL-2.0
//! Host tests: files made here, the test's own executable, and mutated ones.

use super::*;
use crate::format::*;
use errno::code::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;
use zerocopy::IntoBytes;

const TASK_SIZE: u64 = 0x7fff_ffff_f000;

fn ehdr(phnum: u16) -> Ehdr {
    let mut e_ident = [0; 16];
    e_ident[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    Ehdr {
        e_ident,
        e_type: ET_EXEC,
        e_machine: EM_X86_64,
        e_version: 1,
        e_entry: 0x401_000,
        e_phoff: 64,
        e_ehsize: 64,
        e_phentsize: 56,
        e_phnum: phnum,
        ..Ehdr::default()
    }
}

fn load(vaddr: u64, offset: u64, filesz: u64, memsz: u64, flags: u32) -> Phdr {
    Phdr {
        p_type: PT_LOAD,
        p_flags: flags,
        p_offset: offset,
        p_vaddr: vaddr,
        p_paddr: vaddr,
        p_filesz: filesz,
        p_memsz: memsz,
        p_align: 0x1000,
    }
}

fn plan_of(h: &Ehdr, phdrs: &[Phdr]) -> errno::Result<Plan> {
    let bytes: Vec<u8> = phdrs.iter().flat_map(|p| p.as_bytes().to_vec()).collect();
    Image::parse(FileHeader::parse(h.as_bytes())?, &bytes)?.plan(TASK_SIZE)
}

#[test]
fn a_static_program() {
    let phdrs = [
        load(0x400_000, 0, 0x500, 0x500, PF_R),
        load(0x401_000, 0x1000, 0x234, 0x234, PF_R | PF_X),
        load(0x403_e10, 0x2e10, 0x300, 0x2500, PF_R | PF_W),
        load(0x410_000, 0, 0, 0x1800, PF_R | PF_W),
    ];
    let p = plan_of(&ehdr(4), &phdrs).unwrap();
    let s: Vec<(u64, u64, u64, u64)> = p.segments.iter().map(|s| (s.start, s.offset, s.file_end, s.end)).collect();
    assert_eq!(s[0], (0x400_000, 0, 0x401_000, 0x401_000));
    assert_eq!(s[2], (0x403_000, 0x2000, 0x405_000, 0x407_000));
    assert_eq!(s[3], (0x410_000, 0, 0x410_000, 0x412_000));
    assert_eq!(p.segments[2].clear.range(), 0x404_110..0x405_000);
    assert!(p.segments[0].clear.is_empty() && p.segments[3].clear.is_empty());
    assert_eq!((p.phdr_addr, p.brk, p.align, p.entry), (Some(0x400_040), 0x411_800, 0x1000, 0x401_000));
    assert_eq!((p.span.range(), p.total_size()), (0x400_000..0x412_000, 0x12_000));
    assert_eq!((p.code.range(), p.data.range()), (0x401_000..0x401_234, 0x410_000..0x410_000));
    assert_eq!(p.bias(0x1234, TASK_SIZE), Ok(0));
    assert!(p.segments[1].exec && !p.segments[1].write && p.segments[1].read);
}

#[test]
fn a_position_independent_program() {
    let mut h = ehdr(1);
    h.e_type = ET_DYN;
    let mut l = load(0x1000, 0x1000, 0x100, 0x100, PF_R);
    l.p_align = 0x20_0000;
    let p = plan_of(&h, &[l]).unwrap();
    assert_eq!(p.align, 0x20_0000);
    let bias = p.bias(0x5555_5555_4aaa, TASK_SIZE).unwrap();
    assert_eq!(p.span.start.wrapping_add(bias), 0x5555_5540_0000);
    assert!(p.bias(TASK_SIZE - 0x10, TASK_SIZE).is_ok());
    let big = plan_of(&h, &[load(0, 0, 0, 0x7000_0000_0000, PF_R)]).unwrap();
    assert_eq!(big.bias(0x5555_5555_4aaa, TASK_SIZE), Err(EINVAL));
}

#[test]
fn refuses() {
    let parse = |f: &dyn Fn(&mut Ehdr)| {
        let mut h = ehdr(1);
        f(&mut h);
        FileHeader::parse(h.as_bytes()).err()
    };
    assert_eq!(parse(&|_| {}), None);
    assert_eq!(parse(&|h| h.e_ident[0] = 0), Some(ENOEXEC));
    assert_eq!(parse(&|h| h.e_type = 1), Some(ENOEXEC));
    assert_eq!(parse(&|h| h.e_machine = 3), Some(ENOEXEC));
    assert_eq!(parse(&|h| h.e_phentsize = 32), Some(ENOEXEC));
    assert_eq!(parse(&|h| h.e_phnum = 0), Some(ENOEXEC));
    assert_eq!(parse(&|h| h.e_phnum = 74), Some(ENOEXEC));
    assert_eq!(parse(&|h| h.e_phnum = 73), None);
    assert_eq!(FileHeader::parse(&ehdr(1).as_bytes()[..63]), Err(ENOEXEC));

    let one = |p| plan_of(&ehdr(1), &[p]).err();
    assert_eq!(one(load(0x400_001, 0, 10, 10, PF_R)), Some(EINVAL));
    assert_eq!(one(load(0x400_000, 0, 11, 10, PF_R)), Some(EINVAL));
    assert_eq!(one(load(TASK_SIZE, 0, 1, 1, PF_R)), Some(EINVAL));
    assert_eq!(one(load(0x400_000, 0, 1, TASK_SIZE, PF_R)), Some(EINVAL));
    assert_eq!(one(load(0x400_000, 0, 1, u64::MAX, PF_R)), Some(EINVAL));
    assert_eq!(one(load(0x400_000, u64::MAX - 0xfff, 0x1000, 0x1000, PF_R)), Some(EINVAL));
    assert_eq!(one(Phdr::default()), Some(EINVAL));
    let interp = |filesz| Phdr { p_type: PT_INTERP, p_filesz: filesz, ..Phdr::default() };
    assert_eq!(one(interp(1)), Some(ENOEXEC));
    assert_eq!(one(interp(4097)), Some(ENOEXEC));
    assert_eq!(Image::check_interp(b"/lib/ld.so\0"), Ok(&b"/lib/ld.so"[..]));
    assert_eq!(Image::check_interp(b"/lib/ld.so"), Err(ENOEXEC));
}

#[test]
fn this_test_itself() {
    let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let h = FileHeader::parse(&file).unwrap();
    let phoff = h.phoff() as usize;
    let image = Image::parse(h, &file[phoff..phoff + h.phdrs_len()]).unwrap();
    assert_eq!(image.exec_stack, Some(false));
    let (at, len) = image.interp.unwrap();
    let path = Image::check_interp(&file[at as usize..at as usize + len]).unwrap();
    assert_eq!(path, b"/lib64/ld-linux-x86-64.so.2");
    let plan = image.plan(TASK_SIZE).unwrap();
    assert_eq!(plan.kind, Kind::Dyn);
    assert!(plan.segments.iter().any(|s| s.exec && (s.start..s.file_end).contains(&plan.entry)));
    assert_eq!(plan.phdr_addr, Some(h.phoff()));
}

proptest! {
    #[test]
    fn mutated_files_give_sound_plans(changes in proptest::collection::vec((0usize..400, any::<u8>()), 1..8)) {
        let mut file: Vec<u8> = ehdr(4).as_bytes().to_vec();
        for p in [load(0x400_000, 0, 0x500, 0x500, 5), load(0x403_e10, 0x2e10, 0x300, 0x2500, 6),
                  Phdr { p_type: PT_INTERP, p_filesz: 20, ..Phdr::default() }, Phdr { p_type: PT_GNU_STACK, ..Phdr::default() }] {
            file.extend(p.as_bytes());
        }
        for (at, b) in changes { if let Some(x) = file.get_mut(at) { *x = b; } }
        let plan = FileHeader::parse(&file).and_then(|h| {
            let start = usize::try_from(h.phoff()).unwrap_or(usize::MAX);
            Image::parse(h, file.get(start..).unwrap_or(&[]))?.plan(TASK_SIZE)
        });
        if let Ok(plan) = plan {
            prop_assert!(plan.span.end <= TASK_SIZE + PAGE_SIZE);
            for s in &plan.segments {
                prop_assert!(s.start <= s.file_end && s.file_end <= s.end);
                prop_assert_eq!((s.start | s.file_end | s.end | s.offset) % PAGE_SIZE, 0);
                prop_assert!(s.clear.is_empty() || (s.clear.start > s.start && s.clear.end == s.file_end) || s.clear.start == s.start);
            }
            let _ = plan.bias(0x5555_5555_4aaa, TASK_SIZE);
            prop_assert!(plan.align.is_power_of_two());
        }
    }

    #[test]
    fn junk_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
        let mut file = ehdr(3).as_bytes().to_vec();
        file.extend(&bytes);
        if let Ok(h) = FileHeader::parse(&file) {
            let _ = Image::parse(h, &bytes).and_then(|i| i.plan(TASK_SIZE)).map(|p| vec![p]);
        }
        let _ = FileHeader::parse(&bytes);
    }
}
