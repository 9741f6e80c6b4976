// SPDX-License-Identifier: GPL-2.0
//! Host tests: frames as the kernel and programs write them.

use super::*;

const SIZE: usize = XSAVE_MIN + 256;
const FEATURES: u64 = 0b111;

fn frame() -> [u8; SIZE + 4] {
    let mut frame = [0; SIZE + 4];
    put(&mut frame, SW_BYTES_AT, &software_bytes(SIZE as u32, FEATURES));
    put(&mut frame, SIZE, &FP_XSTATE_MAGIC2.to_le_bytes());
    frame
}

fn features_of(frame: &[u8]) -> Option<u64> {
    let software = frame.get(SW_BYTES_AT..SW_BYTES_AT + 48).unwrap_or(&[]);
    let mut read = |at: usize, to: &mut [u8]| {
        to.copy_from_slice(frame.get(at..at + to.len()).ok_or(EINVAL)?);
        Ok(())
    };
    extended_features(software, FEATURES, SIZE, &mut read).unwrap_or(None)
}

#[test]
fn own_frames_are_known() {
    let mut frame = frame();
    assert_eq!(features_of(&frame), Some(FEATURES));
    put(&mut frame, SIZE, &[0]);
    assert_eq!(features_of(&frame), None);
    put(&mut frame, SW_BYTES_AT, &[0]);
    assert_eq!(features_of(&frame), None);
}

#[test]
fn what_xrstor_refuses_is_refused() {
    let check = |change: &dyn Fn(&mut [u8])| {
        let mut image = [0; SIZE];
        put(&mut image, XSTATE_BV_AT, &[3]);
        change(&mut image);
        sanitize(&mut image, Some(1), FEATURES, 0xffbf).map(|()| read_u64(&image, XSTATE_BV_AT))
    };
    assert_eq!(check(&|_| {}), Ok(1));
    assert_eq!(check(&|image| put(image, MXCSR_AT, &[0x40])), Err(EINVAL));
    assert_eq!(check(&|image| put(image, XSTATE_BV_AT, &[8])), Err(EINVAL));
    assert_eq!(check(&|image| put(image, XSTATE_BV_AT + 8, &[1])), Err(EINVAL));
}
