// SPDX-License-Identifier: GPL-2.0
//! Asynchronous direct I/O on a file of ext4, by Linux AIO: `dir=` is where. Many requests are under way at a time: over what is there, to
//! holes and unwritten blocks, while the file is cut or the program ends. What is read back is what was written.

use ext4_tests::sys::{self, File, Pages, path};
use ext4_tests::{Words, fill};
use libc::syscall;

const READ: u16 = 0;
const WRITE: u16 = 1;
/// Bytes of a request, and how many are under way.
const UNIT: usize = 8192;
const DEPTH: usize = 32;
const DIRECT: i32 = libc::O_RDWR | libc::O_CREAT | libc::O_DIRECT;

/// `struct iocb`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    resfd: u32,
}

fn iocb(file: &File, opcode: u16, memory: &[u8], offset: u64) -> Iocb {
    let (buf, nbytes) = (memory.as_ptr() as u64, memory.len() as u64);
    Iocb { data: offset, opcode, fd: file.0 as u32, buf, nbytes, offset: offset as i64, ..Iocb::default() }
}

struct Context(usize);

impl Context {
    fn new() -> Self {
        let mut context = 0usize;
        // SAFETY: the kernel writes a word.
        assert_eq!(unsafe { syscall(libc::SYS_io_setup, DEPTH, &raw mut context) }, 0, "io_setup");
        Self(context)
    }

    fn submit(&self, list: &[Iocb]) {
        let places: Vec<&Iocb> = list.iter().collect();
        // SAFETY: requests and their memory stay until their events were taken, or the kernel holds the pages.
        let taken = unsafe { syscall(libc::SYS_io_submit, self.0, places.len(), places.as_ptr()) };
        assert_eq!(taken, list.len() as i64, "io_submit");
    }

    /// The results of so many requests, by their offsets.
    fn results(&self, count: usize) -> Vec<(u64, i64)> {
        let mut events = vec![[0u64; 4]; count];
        // SAFETY: there is room for so many.
        let got = unsafe { syscall(libc::SYS_io_getevents, self.0, count, count, events.as_mut_ptr(), 0usize) };
        assert_eq!(got, count as i64, "io_getevents");
        let mut results: Vec<_> = events.iter().map(|event| (event[0], event[2] as i64)).collect();
        results.sort();
        results
    }

    fn one(&self, request: Iocb) -> i64 {
        self.submit(&[request]);
        self.results(1)[0].1
    }
}

/// Writes every `step`th unit of a file, all at once, as file `id` has them.
fn write_units(context: &Context, file: &File, id: u64, step: usize, flags: u32) -> Pages {
    let mut memory = Pages::new(UNIT * DEPTH);
    for (n, part) in memory.chunks_mut(UNIT).enumerate() {
        fill(id, (n * step * UNIT) as u64, part);
    }
    let requests: Vec<Iocb> = memory
        .chunks(UNIT)
        .enumerate()
        .map(|(n, part)| Iocb { rw_flags: flags, ..iocb(file, WRITE, part, (n * step * UNIT) as u64) })
        .collect();
    context.submit(&requests);
    memory
}

fn all_written(context: &Context) {
    for (offset, result) in context.results(DEPTH) {
        assert_eq!(result, UNIT as i64, "the write at {offset}");
    }
}

/// Every `step`th unit is as file `id` has it, the others are zeros; read in both ways.
fn compare(context: &Context, name: &str, id: u64, step: usize) {
    let whole = UNIT * DEPTH * step;
    let mut wanted = vec![0u8; whole];
    for at in (0..whole).step_by(UNIT * step) {
        fill(id, at as u64, &mut wanted[at..at + UNIT]);
    }
    let direct = File::open(&path(name), DIRECT, 0o600).expect("a direct file");
    let memory = Pages::new(whole);
    let parts = || memory.chunks(whole / DEPTH).enumerate();
    context.submit(&parts().map(|(n, part)| iocb(&direct, READ, part, (n * part.len()) as u64)).collect::<Vec<_>>());
    for (offset, result) in context.results(DEPTH) {
        assert_eq!(result, (whole / DEPTH) as i64, "the read at {offset}");
    }
    assert!(memory[..] == wanted[..], "{name}: read directly");
    let cached = File::open(&path(name), libc::O_RDONLY, 0).expect("a file");
    let mut bytes = vec![1u8; whole];
    assert_eq!(cached.read(&mut bytes, 0), Ok(whole));
    assert!(bytes == wanted, "{name}: read by way of the cache");
}

fn content(context: &Context, dir: &str) {
    let kinds: [(&str, fn(&File)); 3] = [
        ("hole", |file| file.truncate((UNIT * DEPTH * 2) as u64).expect("truncate")),
        ("unwritten", |file| file.fallocate(0, 0, (UNIT * DEPTH * 2) as u64).expect("fallocate")),
        ("written", |file| {
            let zeros = Pages::new(UNIT * DEPTH * 2);
            assert_eq!(file.write(&zeros, 0), Ok(zeros.len()));
        }),
    ];
    for (kind, make) in kinds {
        let name = format!("{dir}/{kind}");
        let file = File::open(&path(&name), DIRECT, 0o600).expect("a file");
        make(&file);
        for (id, flags) in [(1, 0), (2, libc::RWF_DSYNC), (3, libc::RWF_SYNC)] {
            let memory = write_units(context, &file, id, 2, flags as u32);
            all_written(context);
            compare(context, &name, id, 2);
            drop(memory);
        }
    }
}

/// The end of the file, and what makes it longer; memory that is not there, or goes; a descriptor that goes.
fn edges(context: &Context, dir: &str) {
    let name = path(&format!("{dir}/edges"));
    let file = File::open(&name, DIRECT, 0o600).expect("a file");
    let mut memory = Pages::new(3 * UNIT);
    fill(7, 0, &mut memory);
    assert_eq!(context.one(iocb(&file, WRITE, &memory[..UNIT], UNIT as u64)), UNIT as i64);
    assert_eq!(file.stat().expect("stat").st_size, 2 * UNIT as i64, "it is longer now");
    file.truncate(UNIT as u64 + 1000).expect("truncate");
    let read = |at: usize| iocb(&file, READ, &memory[UNIT..2 * UNIT], at as u64);
    assert_eq!(context.one(read(UNIT)), 1000);
    assert_eq!(context.one(read(0)), UNIT as i64);
    assert_eq!(context.one(read(3 * UNIT)), 0);
    assert_eq!(context.one(read(100)), -i64::from(libc::EINVAL));
    assert_eq!(context.one(Iocb { buf: 4096, ..read(0) }), -i64::from(libc::EFAULT));
    assert_eq!(context.one(Iocb { buf: 4096, ..iocb(&file, WRITE, &memory[..UNIT], 0) }), -i64::from(libc::EFAULT));
    // The pages are the kernel's until the end, the file too.
    let other = Pages::new(UNIT);
    context.submit(&[iocb(&file, READ, &other, 0)]);
    drop(other);
    drop(file);
    assert_eq!(context.results(1)[0].1, UNIT as i64);
}

/// A file that is cut, punched or moved while requests are on their way to it.
fn cut(context: &Context, dir: &str) {
    let name = path(&format!("{dir}/cut"));
    let file = File::open(&name, DIRECT, 0o600).expect("a file");
    let size = (UNIT * DEPTH) as u64;
    for round in 0..24u64 {
        file.fallocate(0, 0, size).expect("fallocate");
        let memory = write_units(context, &file, round, 1, 0);
        let keep = libc::FALLOC_FL_KEEP_SIZE;
        match round % 4 {
            0 => file.truncate(0).expect("truncate"),
            1 => file.fallocate(keep | libc::FALLOC_FL_PUNCH_HOLE, 0, size).expect("punch"),
            2 => file.fallocate(libc::FALLOC_FL_COLLAPSE_RANGE, 0, size / 2).expect("collapse"),
            _ => file.fallocate(keep | libc::FALLOC_FL_ZERO_RANGE, 0, size).expect("zero"),
        }
        all_written(context);
        // Whoever comes second waits for the first: none of the data is there but the half that moved.
        let mut bytes = Pages::new(size as usize);
        let left = file.read(&mut bytes, 0).expect("read");
        let moved = if round % 4 == 2 { size as usize / 2 } else { 0 };
        assert_eq!(left, [0, size as usize, size as usize / 2, size as usize][(round % 4) as usize]);
        assert!(bytes[..moved] == memory[moved..2 * moved], "round {round}: what moved");
        assert!(bytes[moved..left].iter().all(|byte| *byte == 0), "round {round}: zeros");
        file.truncate(0).expect("truncate");
    }
}

/// Cached pages make way, also those that are mapped.
fn cached(context: &Context, dir: &str) {
    let name = format!("{dir}/cached");
    let file = File::open(&path(&name), DIRECT, 0o600).expect("a file");
    file.truncate((UNIT * DEPTH) as u64).expect("truncate");
    let flags = libc::MAP_SHARED;
    // SAFETY: new memory.
    let map = unsafe {
        libc::mmap(core::ptr::null_mut(), UNIT * DEPTH, libc::PROT_READ | libc::PROT_WRITE, flags, file.0, 0)
    };
    assert!(map != libc::MAP_FAILED, "mmap");
    // SAFETY: the mapping is so long.
    let map = unsafe { core::slice::from_raw_parts_mut(map.cast::<u8>(), UNIT * DEPTH) };
    for id in 0..8 {
        map.fill(id as u8);
        let memory = write_units(context, &file, id, 1, 0);
        all_written(context);
        assert!(core::hint::black_box(&*map) == &memory[..], "what is mapped is what was written");
        compare(context, &name, id, 1);
    }
}

/// Reads into the pages of another file, which is written back all the time: it gets what was read.
fn mapped(context: &Context, dir: &str) {
    let file = File::open(&path(&format!("{dir}/mapped")), DIRECT, 0o600).expect("a file");
    let name = path(&format!("{dir}/other"));
    let other = File::open(&name, libc::O_RDWR | libc::O_CREAT, 0o600).expect("a file");
    let whole = UNIT * DEPTH;
    other.truncate(whole as u64).expect("truncate");
    // SAFETY: new memory.
    let map = unsafe {
        libc::mmap(core::ptr::null_mut(), whole, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, other.0, 0)
    };
    assert!(map != libc::MAP_FAILED, "mmap");
    // SAFETY: the mapping is so long, and stays.
    let map: &'static [u8] = unsafe { core::slice::from_raw_parts(map.cast::<u8>(), whole) };
    let done = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    for id in 20..40 {
        file.truncate(whole as u64).expect("truncate");
        let memory = write_units(context, &file, id, 1, 0);
        all_written(context);
        done.store(false, relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(relaxed) {
                    other.sync(true).expect("fdatasync");
                }
            });
            let parts = map.chunks(UNIT).enumerate();
            context.submit(&parts.map(|(n, part)| iocb(&file, READ, part, (n * UNIT) as u64)).collect::<Vec<_>>());
            all_written(context);
            done.store(true, relaxed);
        });
        other.sync(true).expect("fdatasync");
        let direct = File::open(&name, DIRECT, 0o600).expect("a direct file");
        let mut back = Pages::new(whole);
        assert_eq!(direct.read(&mut back, 0), Ok(whole));
        assert!(back[..] == memory[..], "what was read into the mapping is in the file");
    }
}

/// A program that ends with requests under way: they are done when it is gone.
fn ends(dir: &str) {
    for round in 0..4 {
        let name = format!("{dir}/ends{round}");
        // SAFETY: the child only makes calls, and ends.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let context = Context::new();
            let file = File::open(&path(&name), DIRECT, 0o600).expect("a file");
            file.truncate((UNIT * DEPTH) as u64).expect("truncate");
            core::mem::forget(write_units(&context, &file, round, 1, 0));
            // SAFETY: it ends.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: the child of above.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0);
        compare(&Context::new(), &name, round, 1);
    }
}

fn main() {
    let words = Words::new();
    let dir = words.text("dir").expect("dir=");
    sys::mkdir(&path(dir), 0o755).expect("a directory");
    let context = Context::new();
    content(&context, dir);
    edges(&context, dir);
    cut(&context, dir);
    cached(&context, dir);
    mapped(&context, dir);
    ends(dir);
    println!("aio: done");
}
