/* SPDX-License-Identifier: GPL-2.0 */
/* The one limit of the C library that a UAPI header needs. */
#define INT_MAX __INT_MAX__
