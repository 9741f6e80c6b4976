// SPDX-License-Identifier: GPL-2.0
//! For graphics cards: `kernel::gpu`.

pub mod buddy;
