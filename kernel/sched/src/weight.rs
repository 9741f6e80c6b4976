// SPDX-License-Identifier: GPL-2.0
//! Nice values as weights: each step changes the share by a quarter, nice 0 weighs 1024 (sched(7), "The nice value"). Pure.

/// Weight of nice 0.
pub const NICE_0_WEIGHT: u32 = 1024;
/// Weight of a `SCHED_IDLE` task.
pub const IDLE_WEIGHT: u32 = 3;

/// `1024 * 1.25^-nice` for -20..=19, rounded.
const WEIGHTS: [u32; 40] = {
    let mut table = [0u32; 40];
    // In units of 2^-24, upwards and downwards from nice 0.
    let mut up = (NICE_0_WEIGHT as u64) << 24;
    let mut down = up;
    let mut i = 0;
    while i <= 20 {
        table[20 - i] = ((up + (1 << 23)) >> 24) as u32;
        if 20 + i < 40 {
            table[20 + i] = ((down + (1 << 23)) >> 24) as u32;
        }
        up = up / 4 * 5;
        down = down / 5 * 4;
        i += 1;
    }
    table
};

/// The weight of a nice value (clamped to -20..=19).
pub fn of_nice(nice: i32) -> u32 {
    let index = (nice.clamp(-20, 19) + 20) as usize;
    WEIGHTS.get(index).copied().unwrap_or(NICE_0_WEIGHT)
}

/// `2^32 / weight`.
pub fn inverse(weight: u32) -> u32 {
    u32::try_from((1u64 << 32) / u64::from(weight.max(2))).unwrap_or(u32::MAX)
}

/// Real time scaled to virtual time: `delta * 1024 / weight`.
#[inline(always)]
pub fn scale(delta: u64, weight: u32, inverse: u32) -> u64 {
    if weight == NICE_0_WEIGHT {
        return delta;
    }
    ((u128::from(delta) * u128::from(inverse)) >> 22) as u64
}
