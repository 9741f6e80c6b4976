// SPDX-License-Identifier: GPL-2.0
//! pipe: being written by the lead (pipes and FIFOs; poll, select). Epoll and eventfd are helper vfs's.

#![no_std]
#![forbid(unsafe_code)]
