// SPDX-License-Identifier: GPL-2.0
//! Programs that test the kernel from user space, one for each name on the command line.

fn main() {}
