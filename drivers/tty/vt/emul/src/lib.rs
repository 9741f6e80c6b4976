// SPDX-License-Identifier: GPL-2.0
//! The Linux console's terminal as pure logic: bytes in, a screen of cells out, for whatever shows them (VGA text, a
//! frame buffer), with a font; and the keyboard's side, from scan codes to the bytes a terminal sends. The vt driver
//! owns an `Emulator` for each console, under its lock. No locks, no sleeping; allocates on creation and resize only.
//! Source: `console_codes(4)`, `ioctl_console(2)`, ECMA-48, observed behaviour of Linux.
//!
//! | file | what |
//! |---|---|
//! | `screen` | cells, scrolling, erasing, what changed |
//! | `attr` | colours and attributes (SGR) |
//! | `emulator` | the terminal's state, what characters do |
//! | `escape` | escape and control sequences |
//! | `charset`, `width` | which character a byte shows, how wide it is |
//! | `font` | 8x16 bitmaps of characters |
//! | `keyboard` | scan codes to key codes; `keymap`: key codes to bytes |

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod attr;
mod charset;
mod emulator;
mod escape;
pub mod font;
pub mod keyboard;
pub mod keymap;
mod screen;
mod width;

pub use attr::{Attr, DEFAULT_PALETTE, Rgb};
pub use charset::to_cp437;
pub use emulator::{Emulator, Events, Modes, Resized};
pub use screen::Cell;

#[cfg(test)]
mod tests;
