/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The headers of Linux's user-space ABI (Debian's linux-libc-dev) that the crate `uapi` is made from. Add a header here
 * to have its types and constants as `uapi::NAME`. `build.rs` finds the macros that bindgen cannot evaluate by itself
 * (`_IOR(...)`, casts) and adds them too.
 */
#define __EXPORTED_HEADERS__
#include <stddef.h>
#include <linux/types.h>
#include <linux/version.h>
#include <linux/errno.h>
#include <linux/const.h>
#include <linux/limits.h>
#include <linux/param.h>

/* Processes, signals, scheduling */
#include <asm/unistd_64.h>
#include <linux/signal.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>
#include <asm/ptrace.h>
#include <asm/prctl.h>
#include <asm/hwcap2.h>
#include <asm/ldt.h>
#include <asm/processor-flags.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <linux/wait.h>
#include <linux/resource.h>
#include <linux/times.h>
#include <linux/prctl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <linux/personality.h>
#include <linux/auxvec.h>
#include <linux/elf.h>
#include <linux/elf-em.h>
#include <linux/binfmts.h>
#include <linux/futex.h>
#include <linux/rseq.h>
#include <linux/membarrier.h>
#include <linux/kcmp.h>
#include <linux/pidfd.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <linux/landlock.h>
#include <linux/filter.h>
#include <linux/audit.h>
#include <linux/acct.h>
#include <linux/taskstats.h>
#include <linux/cgroupstats.h>
#include <linux/ioprio.h>
#include <linux/oom.h>
#include <linux/nsfs.h>
#include <linux/perf_event.h>
#include <linux/bpf.h>

/* Memory */
#include <linux/mman.h>
#include <linux/mempolicy.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <linux/kernel-page-flags.h>

/* Time */
#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/timex.h>
#include <linux/timerfd.h>
#include <linux/rtc.h>

/* Files */
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/openat2.h>
#include <linux/close_range.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <linux/fadvise.h>
#include <linux/fiemap.h>
#include <linux/mount.h>
#include <linux/magic.h>
#include <linux/xattr.h>
#include <linux/poll.h>
#include <linux/eventpoll.h>
#include <linux/inotify.h>
#include <linux/fanotify.h>
#include <linux/signalfd.h>
#include <linux/uio.h>
#include <linux/utime.h>
#include <linux/quota.h>
#include <linux/io_uring.h>
#include <linux/aio_abi.h>
#include <linux/fuse.h>
#include <linux/stat.h>

/* IPC, keys, system */
#include <linux/ipc.h>
#include <linux/msg.h>
#include <linux/sem.h>
#include <linux/shm.h>
#include <linux/mqueue.h>
#include <linux/keyctl.h>
#include <linux/utsname.h>
#include <linux/sysinfo.h>
#include <linux/reboot.h>
#include <linux/random.h>
#include <linux/module.h>
#include <linux/kexec.h>
#include <linux/watchdog.h>
#include <linux/uuid.h>

/* Terminals, console, input */
#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <asm/termios.h>
#include <linux/tty.h>
#include <linux/tty_flags.h>
#include <linux/tiocl.h>
#include <linux/kd.h>
#include <linux/vt.h>
#include <linux/keyboard.h>
#include <linux/serial.h>
#include <linux/serial_core.h>
#include <linux/serial_reg.h>
#include <linux/serio.h>
#include <linux/input.h>
#include <linux/uinput.h>
#include <linux/fb.h>
#include <linux/major.h>

/* Block devices, buses */
#include <linux/loop.h>
#include <linux/blkpg.h>
#include <linux/blkzoned.h>
#include <linux/hdreg.h>
#include <linux/nbd.h>
#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <linux/virtio_console.h>
#include <linux/virtio_rng.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_vsock.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_gpu.h>
#include <linux/virtio_input.h>
#include <linux/hpet.h>

/* Boot */
#include <asm/bootparam.h>
#include <linux/screen_info.h>
#include <linux/apm_bios.h>
#include <linux/edd.h>

/* Network */
#include <linux/socket.h>
#include <asm/socket.h>
#include <linux/sockios.h>
#include <linux/un.h>
#include <linux/unix_diag.h>
#include <linux/sock_diag.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/if_vlan.h>
#include <linux/if_bridge.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/in_route.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/igmp.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/neighbour.h>
#include <linux/fib_rules.h>
#include <linux/genetlink.h>
#include <linux/ethtool.h>
#include <linux/inet_diag.h>
#include <linux/net_tstamp.h>
#include <linux/errqueue.h>
#include <linux/vm_sockets.h>
#include <linux/connector.h>
#include <linux/cn_proc.h>

/* What Linux's headers leave to the C library. */
struct linux_dirent {
	unsigned long d_ino;
	unsigned long d_off;
	unsigned short d_reclen;
	char d_name[];
};

struct linux_dirent64 {
	__u64 d_ino;
	__s64 d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

#define DT_UNKNOWN	0
#define DT_FIFO		1
#define DT_CHR		2
#define DT_DIR		4
#define DT_BLK		6
#define DT_REG		8
#define DT_LNK		10
#define DT_SOCK		12
#define DT_WHT		14
