// SPDX-License-Identifier: GPL-2.0
//! Images of genisoimage (which does not end with a link of more than 250 bytes) and xorriso: plain, Joliet, Rock Ridge; damaged ones give errors, never a panic or a loop. `ISOFS_MUTATIONS` damages more
//! (default 40).

use errno::code::EIO;
use isofs_format::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

struct Memory(Vec<u8>);

impl Store for Memory {
    fn read(&self, pos: u64, to: &mut [u8]) -> errno::Result {
        let pos = usize::try_from(pos).map_err(|_| EIO)?;
        let end = pos.checked_add(to.len()).ok_or(EIO)?;
        to.copy_from_slice(self.0.get(pos..end).ok_or(EIO)?);
        Ok(())
    }
}

const ALL: Choice = Choice {
    rock: true,
    joliet: true,
    utf8: true,
    hide: false,
    associated: false,
    cruft: false,
    relaxed: None,
    names: Names::Normal,
    start: 0,
};

const LINK: &str = "/one/../two/./three/";

struct Work(PathBuf);

impl Work {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("isofs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let source = path.join("source");
        std::fs::create_dir_all(source.join("dir/a/b/c/d/e/f/g/h/i")).unwrap();
        for i in 0..120 {
            std::fs::write(source.join(format!("dir/A longer name, number {i}.text")), vec![b'x'; i * 37]).unwrap();
        }
        std::fs::write(source.join("dir/a/b/c/d/e/f/g/h/i/deep"), b"deep").unwrap();
        std::fs::write(source.join("caf\u{e9} \u{4e16}"), b"unicode").unwrap();
        std::fs::write(source.join("n".repeat(200)), b"long").unwrap();
        std::os::unix::fs::symlink(LINK.repeat(8), source.join("link")).unwrap();
        Self(path)
    }

    fn make(&self, options: &[&str]) -> Vec<u8> {
        let image = self.0.join("image");
        let status = Command::new("genisoimage")
            .args(["-quiet", "-input-charset", "utf-8", "-o"])
            .arg(&image)
            .args(options)
            .arg(self.0.join("source"))
            .stderr(std::process::Stdio::null())
            .status()
            .expect("genisoimage");
        assert!(status.success(), "{options:?}");
        std::fs::read(image).unwrap()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Everything, by path; at most so many files.
fn walk(volume: &Volume<Memory>, limit: &mut usize) -> Result<BTreeMap<String, (u64, Vec<u8>)>, errno::Error> {
    let mut out = BTreeMap::new();
    let mut todo = vec![(String::new(), volume.root, 0)];
    while let Some((path, at, depth)) = todo.pop() {
        let dir = volume.inode(at)?;
        let mut reader = DirReader::new(volume, &dir, 0)?;
        while let Some(entry) = reader.next(volume)? {
            if entry.dots != 0 || depth > 20 {
                continue;
            }
            if *limit == 0 {
                return Ok(out);
            }
            *limit -= 1;
            let name = format!("{path}/{}", String::from_utf8_lossy(&entry.name));
            assert!(volume.lookup(&dir, &entry.name).map(|found| found.is_some()).unwrap_or(true));
            let inode = volume.inode(entry.at)?;
            if inode.is_dir {
                // Where it is shown, not where its record is, tells what is in it.
                todo.push((name.clone(), entry.at, depth + 1));
            }
            out.insert(name, (inode.size, inode.link.to_vec()));
        }
    }
    Ok(out)
}

#[test]
fn what_went_in() {
    let work = Work::new("whole");
    for options in [&["-R"][..], &["-J", "-joliet-long"], &["-R", "-J", "-joliet-long"], &["-l"]] {
        let volume = Volume::open(Memory(work.make(options)), ALL).map_err(|e| e.1).unwrap();
        let rock = options.contains(&"-R");
        assert_eq!(volume.rock.is_some(), rock || !options.contains(&"-J"));
        assert_eq!(volume.joliet != 0, options.contains(&"-J") && !rock);
        let seen = walk(&volume, &mut 10_000).unwrap();
        if rock {
            assert_eq!(seen["/dir/A longer name, number 50.text"].0, 50 * 37);
            assert_eq!(seen["/link"].1, LINK.repeat(8).trim_end_matches('/').as_bytes().to_vec());
            assert!(seen.contains_key(&format!("/{}", "n".repeat(200))));
            assert!(seen.contains_key("/caf\u{e9} \u{4e16}"));
        } else if volume.joliet != 0 {
            assert_eq!(seen["/dir/A longer name, number 50.text"].0, 50 * 37);
            assert!(seen.contains_key("/caf\u{e9} \u{4e16}"), "{:?}", seen.keys());
        }
        let deep = seen.keys().filter(|name| name.ends_with("/deep")).collect::<Vec<_>>();
        if rock {
            assert_eq!(deep, ["/dir/a/b/c/d/e/f/g/h/i/deep"]);
        }
    }
}

/// A link that goes on in the area where records go on.
#[test]
fn long_link() {
    let work = Work::new("link");
    let (link, image) = (work.0.join("source/link"), work.0.join("image"));
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(LINK.repeat(40), link).unwrap();
    let line = ["-as", "mkisofs", "-quiet", "-R", "-J", "-joliet-long", "-o"];
    let status = Command::new("xorriso").args(line).arg(&image).arg(work.0.join("source")).status().expect("xorriso");
    assert!(status.success());
    let volume = Volume::open(Memory(std::fs::read(image).unwrap()), ALL).map_err(|e| e.1).unwrap();
    let seen = walk(&volume, &mut 10_000).unwrap();
    let wanted = LINK.repeat(40);
    assert_eq!(String::from_utf8_lossy(&seen["/link"].1).trim_end_matches('/'), wanted.trim_end_matches('/'));
    assert!(seen.contains_key("/dir/a/b/c/d/e/f/g/h/i/deep"));
}

#[test]
fn damaged() {
    let work = Work::new("damaged");
    let mutations: u64 = std::env::var("ISOFS_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for options in [&["-R"][..], &["-J"]] {
        let whole = work.make(options);
        for _ in 0..mutations {
            let mut bytes = whole.clone();
            for _ in 0..[1, 5, 50][random(3)] {
                let at = if random(2) == 0 { 0x8000 + random(0x8000) } else { 0x8000 + random(bytes.len() - 0x8000) };
                bytes[at] = random(256) as u8;
            }
            if let Ok(volume) = Volume::open(Memory(bytes), ALL) {
                let _ = walk(&volume, &mut 500);
            }
        }
    }
}
