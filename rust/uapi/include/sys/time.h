/* SPDX-License-Identifier: GPL-2.0 */
/* Stands for the C library header that some UAPI headers ask for; the kernel has no use for its content. */
