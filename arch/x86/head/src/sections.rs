// SPDX-License-Identifier: GPL-2.0
//! The parts of the kernel image as address ranges, so that nobody else declares linker symbols. Run-time addresses (slide
//! included). The ranges are page aligned where page protection depends on it. No locks.

use core::ops::Range;

macro_rules! ranges {
    ($($(#[$doc:meta])* $name:ident = $start:ident .. $end:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name() -> Range<usize> {
                unsafe extern "C" {
                    static $start: u8;
                    static $end: u8;
                }
                (&raw const $start).addr()..(&raw const $end).addr()
            }
        )*
    };
}

ranges! {
    /// The whole image.
    image = _text .. _end;
    /// Code (read, execute).
    text = _stext .. _etext;
    /// Read-only data, relocated constants included.
    rodata = __start_rodata .. __end_rodata;
    /// Initialised data.
    data = _data .. _edata;
    /// Zeroed data.
    bss = __bss_start .. __bss_stop;
    /// Code and data for start-up only (page aligned; may be freed after it).
    init = __init_begin .. __init_end;
    /// The boot CPU's per-CPU area and the template of the others.
    percpu = __per_cpu_start .. __per_cpu_end;
    /// Exception table: what to do about faults in kernel code that may fault.
    ex_table = __start___ex_table .. __stop___ex_table;
    /// KUnit suites.
    kunit_test_suites = __start_kunit_test_suites .. __stop_kunit_test_suites;
    /// Symbol table for traces, filled by the final link.
    kallsyms = __kallsyms_start .. __kallsyms_stop;
    /// Page below the boot stack that may be unmapped to catch overflow.
    boot_stack_guard = boot_stack_guard .. boot_stack_bottom;
    /// The boot stack.
    boot_stack = boot_stack_bottom .. boot_stack_top;
}
