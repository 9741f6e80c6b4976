// SPDX-License-Identifier: GPL-2.0
//! A file that all threads share.

use super::{Common, LANE, LANES, Mapped, Model, PAGE, scratch};
use ext4_tests::Rng;
use ext4_tests::sys::{self, File, Pages, path};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A thread's part of the file that all share: pieces that share their pages with others'.
pub(super) struct Lanes {
    model: Model,
    index: u64,
    pieces: Vec<Vec<u8>>,
}

impl Lanes {
    pub(super) fn new(common: &Arc<Common>, index: u64, seed: u64) -> sys::Result<Self> {
        let name = format!("{}/lanes", common.dir);
        drop(File::open(&path(&name), libc::O_RDWR | libc::O_CREAT, 0o644)?);
        let file = File::open(&path(&name), libc::O_RDWR, 0)?;
        let append = File::open(&path(&name), libc::O_RDONLY, 0)?;
        file.truncate(LANE * LANES * common.threads)?;
        let model = Model {
            common: common.clone(),
            name,
            file,
            direct: None,
            append,
            memory: scratch(),
            data: Vec::new(),
            rng: Rng::new(seed),
            buffer: Pages::new(1 << 16),
            history: VecDeque::new(),
            unsupported: Vec::new(),
            lost: false,
        };
        Ok(Self { model, index, pieces: vec![vec![0; LANE as usize]; LANES as usize] })
    }

    pub(super) fn step(&mut self) {
        let number = self.model.rng.below(LANES);
        let start = (number * self.model.common.threads + self.index) * LANE;
        let from = self.model.rng.below(LANE);
        let length = 1 + self.model.rng.below(LANE - from);
        let at = start + from;
        let which = self.model.rng.below(8);
        let model = &mut self.model;
        model.note(format!("lane {number}: {which} at {at}+{length}"));
        model.random(length);
        let piece = &mut self.pieces[number as usize][from as usize..(from + length) as usize];
        let page = at / PAGE * PAGE;
        let outcome = match which {
            0 | 1 => model
                .file
                .write(&model.buffer[..length as usize], at)
                .map(|done| piece[..done].copy_from_slice(&model.buffer[..done])),
            2 | 3 => Mapped::new(&model.file, page, at - page + length).and_then(|map| {
                model.memory.write(&model.buffer[..length as usize], 0).expect("a scratch file");
                let done = map.pass(&model.memory, at - page, length as usize, true)?;
                piece[..done].copy_from_slice(&model.buffer[..done]);
                Ok(())
            }),
            4 => {
                let mode = if from % 2 == 0 { libc::FALLOC_FL_PUNCH_HOLE } else { libc::FALLOC_FL_ZERO_RANGE };
                model.file.fallocate(mode | libc::FALLOC_FL_KEEP_SIZE, at, length).map(|()| piece.fill(0))
            }
            5 if from % 8 == 0 => model.file.sync(true),
            _ => model.file.read(&mut model.buffer[..length as usize], at).map(|done| {
                if done != piece.len() || model.buffer[..done] != *piece {
                    let n = (0..done).find(|n| model.buffer[*n] != piece[*n]).unwrap_or(done);
                    let differ = (0..done).filter(|n| model.buffer[*n] != piece[*n]).count();
                    let show = |data: &[u8]| {
                        data[n..(n + 16).min(done)].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
                    };
                    model.wrong(&format!(
                        "byte {} of the shared file (read {at}+{length}, {done} bytes, of which {differ} differ): {} wanted {}",
                        at + n as u64,
                        show(&model.buffer),
                        show(piece)
                    ));
                }
            }),
        };
        match outcome {
            Ok(()) | Err(libc::EOPNOTSUPP) => {}
            Err(errno) => {
                // What of it arrived is not known.
                let full = matches!(errno, libc::ENOSPC | libc::EDQUOT | libc::EFAULT) && model.common.full;
                if !full && !model.common.any {
                    model.wrong(&format!("errno {errno}"));
                }
                match model.file.read(&mut model.buffer[..length as usize], at) {
                    Ok(done) if done == piece.len() => piece.copy_from_slice(&model.buffer[..done]),
                    _ => model.common.stop.store(true, Relaxed),
                }
            }
        }
    }
}
