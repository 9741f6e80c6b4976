// SPDX-License-Identifier: GPL-2.0
//! To come.
#![no_std]
#![forbid(unsafe_code)]
