// SPDX-License-Identifier: GPL-2.0
//! Numbers and layouts of the interface. Source: `linux/io_uring.h`.

/// Operations.
pub(crate) mod op {
    pub(crate) const NOP: u8 = 0;
    pub(crate) const READV: u8 = 1;
    pub(crate) const WRITEV: u8 = 2;
    pub(crate) const FSYNC: u8 = 3;
    pub(crate) const READ_FIXED: u8 = 4;
    pub(crate) const WRITE_FIXED: u8 = 5;
    pub(crate) const POLL_ADD: u8 = 6;
    pub(crate) const POLL_REMOVE: u8 = 7;
    pub(crate) const SYNC_FILE_RANGE: u8 = 8;
    pub(crate) const SENDMSG: u8 = 9;
    pub(crate) const RECVMSG: u8 = 10;
    pub(crate) const TIMEOUT: u8 = 11;
    pub(crate) const TIMEOUT_REMOVE: u8 = 12;
    pub(crate) const ACCEPT: u8 = 13;
    pub(crate) const ASYNC_CANCEL: u8 = 14;
    pub(crate) const LINK_TIMEOUT: u8 = 15;
    pub(crate) const CONNECT: u8 = 16;
    pub(crate) const FALLOCATE: u8 = 17;
    pub(crate) const OPENAT: u8 = 18;
    pub(crate) const CLOSE: u8 = 19;
    pub(crate) const STATX: u8 = 21;
    pub(crate) const READ: u8 = 22;
    pub(crate) const WRITE: u8 = 23;
    pub(crate) const FADVISE: u8 = 24;
    pub(crate) const MADVISE: u8 = 25;
    pub(crate) const SEND: u8 = 26;
    pub(crate) const RECV: u8 = 27;
    pub(crate) const OPENAT2: u8 = 28;
    pub(crate) const PROVIDE_BUFFERS: u8 = 31;
    pub(crate) const REMOVE_BUFFERS: u8 = 32;
    pub(crate) const SHUTDOWN: u8 = 34;
    pub(crate) const RENAMEAT: u8 = 35;
    pub(crate) const UNLINKAT: u8 = 36;
    pub(crate) const MKDIRAT: u8 = 37;
    pub(crate) const SYMLINKAT: u8 = 38;
    pub(crate) const LINKAT: u8 = 39;
    pub(crate) const SOCKET: u8 = 45;
    /// What a ring that polls for completions takes (`IORING_SETUP_IOPOLL`).
    pub(crate) const POLLED: &[u8] =
        &[NOP, READV, WRITEV, READ_FIXED, WRITE_FIXED, READ, WRITE, PROVIDE_BUFFERS, REMOVE_BUFFERS];
    /// All there are; others answer EINVAL, as in a kernel that does not know them.
    pub(crate) const ALL: &[u8] = &[
        NOP,
        READV,
        WRITEV,
        FSYNC,
        READ_FIXED,
        WRITE_FIXED,
        POLL_ADD,
        POLL_REMOVE,
        SYNC_FILE_RANGE,
        SENDMSG,
        RECVMSG,
        TIMEOUT,
        TIMEOUT_REMOVE,
        ACCEPT,
        ASYNC_CANCEL,
        LINK_TIMEOUT,
        CONNECT,
        FALLOCATE,
        OPENAT,
        CLOSE,
        STATX,
        READ,
        WRITE,
        FADVISE,
        MADVISE,
        SEND,
        RECV,
        OPENAT2,
        PROVIDE_BUFFERS,
        REMOVE_BUFFERS,
        SHUTDOWN,
        RENAMEAT,
        UNLINKAT,
        MKDIRAT,
        SYMLINKAT,
        LINKAT,
        SOCKET,
    ];
}

/// Flags of a request.
pub(crate) mod sqe_flag {
    pub(crate) const FIXED_FILE: u8 = 1 << 0;
    pub(crate) const DRAIN: u8 = 1 << 1;
    pub(crate) const LINK: u8 = 1 << 2;
    pub(crate) const HARDLINK: u8 = 1 << 3;
    pub(crate) const ASYNC: u8 = 1 << 4;
    pub(crate) const BUFFER_SELECT: u8 = 1 << 5;
    pub(crate) const CQE_SKIP: u8 = 1 << 6;
}

/// Flags of `io_uring_setup`.
pub(crate) mod setup {
    pub(crate) const IOPOLL: u32 = 1 << 0;
    pub(crate) const SQPOLL: u32 = 1 << 1;
    pub(crate) const SQ_AFF: u32 = 1 << 2;
    pub(crate) const CQSIZE: u32 = 1 << 3;
    pub(crate) const CLAMP: u32 = 1 << 4;
    pub(crate) const ATTACH_WQ: u32 = 1 << 5;
    pub(crate) const R_DISABLED: u32 = 1 << 6;
    pub(crate) const SUBMIT_ALL: u32 = 1 << 7;
    pub(crate) const COOP_TASKRUN: u32 = 1 << 8;
    pub(crate) const TASKRUN_FLAG: u32 = 1 << 9;
    pub(crate) const SINGLE_ISSUER: u32 = 1 << 12;
    pub(crate) const DEFER_TASKRUN: u32 = 1 << 13;
    /// Those that say how a task goes on with its requests.
    pub(crate) const TASKRUN: u32 = COOP_TASKRUN | TASKRUN_FLAG | DEFER_TASKRUN;
    pub(crate) const KNOWN: u32 =
        IOPOLL | SQPOLL | SQ_AFF | CQSIZE | CLAMP | ATTACH_WQ | R_DISABLED | SUBMIT_ALL | SINGLE_ISSUER | TASKRUN;
}

/// What `io_uring_setup` says there is.
pub(crate) mod feature {
    const SINGLE_MMAP: u32 = 1 << 0;
    const NODROP: u32 = 1 << 1;
    const RW_CUR_POS: u32 = 1 << 3;
    const FAST_POLL: u32 = 1 << 5;
    const POLL_32BITS: u32 = 1 << 6;
    const SQPOLL_NONFIXED: u32 = 1 << 7;
    const EXT_ARG: u32 = 1 << 8;
    const NATIVE_WORKERS: u32 = 1 << 9;
    const CQE_SKIP: u32 = 1 << 11;
    const LINKED_FILE: u32 = 1 << 12;
    pub(crate) const ALL: u32 = SINGLE_MMAP
        | NODROP
        | RW_CUR_POS
        | FAST_POLL
        | POLL_32BITS
        | SQPOLL_NONFIXED
        | EXT_ARG
        | NATIVE_WORKERS
        | CQE_SKIP
        | LINKED_FILE;
}

/// Flags of `io_uring_enter`.
pub(crate) mod enter {
    pub(crate) const GETEVENTS: u32 = 1 << 0;
    pub(crate) const SQ_WAKEUP: u32 = 1 << 1;
    pub(crate) const SQ_WAIT: u32 = 1 << 2;
    pub(crate) const EXT_ARG: u32 = 1 << 3;
    pub(crate) const KNOWN: u32 = GETEVENTS | SQ_WAKEUP | SQ_WAIT | EXT_ARG;
}

/// Where the program maps what.
pub(crate) mod offset {
    pub(crate) const SQ_RING: u64 = 0;
    pub(crate) const CQ_RING: u64 = 0x800_0000;
    pub(crate) const SQES: u64 = 0x1000_0000;
    pub(crate) const MASK: u64 = 0xf800_0000;
}

/// Flags of a result: a buffer was taken, whose number is above; more results come.
pub(crate) const CQE_BUFFER: u32 = 1 << 0;
pub(crate) const CQE_MORE: u32 = 1 << 1;
/// In the program's flags of the submission ring: the thread that takes requests in sleeps.
pub(crate) const SQ_NEED_WAKEUP: u32 = 1 << 0;
/// In the same flags: results wait that found no room.
pub(crate) const SQ_CQ_OVERFLOW: u32 = 1 << 1;
/// In the same flags: `io_uring_enter` has something to go on with.
pub(crate) const SQ_TASKRUN: u32 = 1 << 2;
/// In its flags of the completion ring: no event descriptor now.
pub(crate) const CQ_EVENTFD_DISABLED: u32 = 1 << 0;
/// Most requests.
pub(crate) const MAX_ENTRIES: u32 = 32768;
/// Most results.
pub(crate) const MAX_CQ_ENTRIES: u32 = 2 * MAX_ENTRIES;
/// Bytes of a request, and of a result.
pub(crate) const SQE: usize = 64;
pub(crate) const CQE: usize = 16;

/// A request as the program wrote it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sqe {
    pub(crate) opcode: u8,
    pub(crate) flags: u8,
    pub(crate) ioprio: u16,
    pub(crate) fd: i32,
    pub(crate) off: u64,
    pub(crate) addr: u64,
    pub(crate) len: u32,
    pub(crate) op_flags: u32,
    pub(crate) user_data: u64,
    pub(crate) buf_index: u16,
    pub(crate) personality: u16,
    /// `splice_fd_in`, `file_index`.
    pub(crate) last: u32,
}

impl Sqe {
    /// From its eight words.
    pub(crate) fn new(words: [u64; 8]) -> Self {
        let [first, off, addr, len_flags, user_data, sixth, _, _] = words;
        Self {
            opcode: first as u8,
            flags: (first >> 8) as u8,
            ioprio: (first >> 16) as u16,
            fd: (first >> 32) as u32 as i32,
            off,
            addr,
            len: len_flags as u32,
            op_flags: (len_flags >> 32) as u32,
            user_data,
            buf_index: sixth as u16,
            personality: (sixth >> 16) as u16,
            last: (sixth >> 32) as u32,
        }
    }

    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Whether the next request waits for this one.
    pub(crate) fn links(&self) -> bool {
        self.has(sqe_flag::LINK | sqe_flag::HARDLINK)
    }
}

/// Flags of timeouts.
pub(crate) mod timeout {
    pub(crate) const ABS: u32 = 1 << 0;
    pub(crate) const UPDATE: u32 = 1 << 1;
    pub(crate) const BOOTTIME: u32 = 1 << 2;
    pub(crate) const REALTIME: u32 = 1 << 3;
    pub(crate) const ETIME_SUCCESS: u32 = 1 << 5;
}

/// Flags of `POLL_ADD`.
pub(crate) mod poll {
    pub(crate) const MULTI: u32 = 1 << 0;
}

/// Flags of `ACCEPT`, in the place of a priority.
pub(crate) mod accept {
    pub(crate) const MULTISHOT: u16 = 1 << 0;
}

/// Flags of `RECV` and `RECVMSG`, in the place of a priority.
pub(crate) mod recv {
    pub(crate) const MULTISHOT: u16 = 1 << 1;
}

/// Flags of `ASYNC_CANCEL`.
pub(crate) mod cancel {
    pub(crate) const ALL: u32 = 1 << 0;
    pub(crate) const ANY: u32 = 1 << 2;
}
