// SPDX-License-Identifier: GPL-2.0
//! Journals of other makers: images by mke2fs whose journals debugfs fills (writes and revokes) are recovered here and by
//! e2fsck: every block must come out the same. Skipped, with a line, where e2fsprogs is missing.

mod common;
use jbd2::format::Superblock;
use jbd2::host::*;
use jbd2::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io::Write as _};

fn tool(name: &str, arguments: &[&str], path: &Path) -> Option<std::process::Output> {
    let found =
        ["/usr/sbin", "/sbin", "/usr/bin"].iter().map(|dir| format!("{dir}/{name}")).find(|p| Path::new(p).exists())?;
    Command::new(found).args(arguments).arg(path).stdin(Stdio::null()).output().ok()
}

fn debugfs(path: &Path, script: &str) -> String {
    let mut child = Command::new("/usr/sbin/debugfs")
        .args(["-w", "-f", "-"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Where the journal's blocks lie, as debugfs tells.
fn geometry(path: &Path) -> Geometry {
    let text = debugfs(path, "blocks <8>\n");
    let numbers: Vec<u64> = text
        .lines()
        .filter(|line| !line.starts_with("debugfs"))
        .flat_map(|line| line.split_whitespace())
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!(numbers.len() >= 1024, "{text}");
    let stat = debugfs(path, "stat <8>\n");
    // A block-mapped journal lists the blocks of its map among them.
    let mapped = !stat.contains("EXTENTS");
    let maps: Vec<u64> = if mapped {
        stat.split(['(', '\n'])
            .filter(|part| part.starts_with("IND") || part.starts_with("DIND"))
            .filter_map(|part| part.split(':').nth(1)?.trim().trim_end_matches(',').parse().ok())
            .collect()
    } else {
        Vec::new()
    };
    let data = numbers.into_iter().filter(|block| !maps.contains(block));
    Geometry::new(data.enumerate().map(|(logical, physical)| Run { logical: logical as u32, physical, len: 1 }))
        .unwrap()
}

fn same_after_recovery(name: &str, make: &[&str], block_size: usize, script: &str) {
    let dir = PathBuf::from(std::env::temp_dir()).join(format!("jbd2-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let image = dir.join("image");
    fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
    let size = block_size.to_string();
    let mut arguments = vec!["-q", "-F", "-t", "ext4", "-b", &size, "-J", "size=4"];
    arguments.extend_from_slice(make);
    let Some(made) = tool("mke2fs", &arguments, &image) else {
        println!("skipped: no e2fsprogs");
        return;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // Blocks to write, each with its own content.
    for index in 0..40u8 {
        let mut data = vec![index + 1; block_size * 16];
        for (number, block) in data.chunks_mut(block_size).enumerate() {
            block[block_size - 1] = number as u8;
            if (number as u8 + index) % 7 == 3 {
                // Looks like a block of the journal's own.
                block[..4].copy_from_slice(&format::MAGIC.to_be_bytes());
            }
        }
        fs::write(dir.join(format!("b{index}")), data).unwrap();
    }
    let said = debugfs(&image, &script.replace("@", &format!("{}/", dir.display())));
    assert!(
        said.lines().all(|line| line.is_empty() || line.starts_with("debugfs") || line.starts_with("Setting csum")),
        "{said}"
    );

    let start = fs::read(&image).unwrap();
    let disk = Disk::new(start.clone(), block_size);
    let sys = HostSystem::new(disk.clone(), disk.clone());
    let geometry = geometry(&image);
    let mut sb: Superblock = Journal::read_superblock(&sys, &geometry, block_size).unwrap();
    let done = Journal::recover(&sys, &geometry, &mut sb, None).unwrap();
    assert!(done.needed && done.replayed > 0, "{done:?}");

    let checked = tool("e2fsck", &["-y", "-E", "journal_only"], &image).unwrap();
    assert!(checked.status.code().is_some_and(|code| code <= 1), "{}", String::from_utf8_lossy(&checked.stdout));
    let (ours, theirs) = (disk.bytes(), fs::read(&image).unwrap());
    let journal: Vec<u64> = (0..geometry.blocks()).map(|block| geometry.map(block).unwrap()).collect();
    let (mut differ, mut changed) = (Vec::new(), 0);
    for (block, (ours, theirs)) in ours.chunks(block_size).zip(theirs.chunks(block_size)).enumerate() {
        // The superblocks differ: e2fsck takes needs_recovery out, notes times, and numbers differently.
        let superblock = block == usize::from(block_size == 1024);
        if !superblock && !journal.contains(&(block as u64)) {
            if ours != theirs {
                differ.push(block);
            }
            changed += usize::from(ours != &start[block * block_size..][..block_size]);
        }
    }
    assert!(differ.is_empty(), "{name}: blocks differ: {differ:?}");
    assert!(changed > 5, "{name}: {changed} blocks changed");
    fs::remove_dir_all(&dir).unwrap();
}

/// Several transactions: blocks written twice, revoked, revoked and written again.
const SCRIPT: &str = "journal_open OPTS
journal_write -b 5000,5001,5002,5003 @b0
journal_write -b 5000,5001 @b3
journal_write -r 5001,5003
journal_write -b 5010,5011,5012,5013,5014,5015,5016,5017,5018,5019 @b10
journal_write -b 5003 @b5
journal_write -r 5012-5014
journal_write -b 5013 @b17
journal_write -b 5020 @b24
journal_close
";

#[test]
fn as_e2fsck_recovers() {
    let rows: [(&str, &[&str], usize, &str); 7] = [
        ("default", &[], 1024, ""),
        ("csum3", &["-O", "metadata_csum,64bit"], 1024, "-c"),
        ("csum2", &["-O", "metadata_csum"], 1024, "-c -v 2"),
        ("csum3_4k", &["-O", "metadata_csum,64bit"], 4096, "-c -v 3"),
        ("plain", &["-O", "^metadata_csum,^64bit"], 1024, ""),
        ("plain64", &["-O", "^metadata_csum,64bit"], 2048, ""),
        ("mapped", &["-O", "^metadata_csum,^64bit,^extent"], 1024, ""),
    ];
    for (name, make, size, options) in rows {
        let mut script = SCRIPT.replace("OPTS", options);
        if name == "mapped" {
            // The log lies elsewhere there.
            script = script.replace(" 50", " 140").replace(",50", ",140").replace("-50", "-140");
        } else if size != 1024 {
            script = script.replace(" 50", " 40").replace(",50", ",40").replace("-50", "-40");
        }
        same_after_recovery(name, make, size, &script);
    }
}
