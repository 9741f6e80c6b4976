# SPDX-License-Identifier: GPL-2.0
# python3-minimal: threads, processes, sockets, memory maps, selectors.
p() { python3 -u -S -E "$@"; }
p -c 'print(sum(i * i for i in range(1000)), 2 ** 200, sorted({"b": 1, "a": 2}.items()), f"{3.14159:.2f}"); import sys; print(sys.platform, sys.byteorder, sys.maxsize == 2 ** 63 - 1)'
p -c '
import os, threading, time, signal, select
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(w, b"child"); os._exit(5)
print(os.read(r, 10), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
n = 0; lock = threading.Lock()
def add():
    global n
    for _ in range(2000):
        with lock: n += 1
ts = [threading.Thread(target=add) for _ in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]; print(n)
e = threading.Event(); print(e.wait(0.05))
c = threading.Condition(); out = []
def consumer():
    with c:
        while not out: c.wait()
        out.append(2)
t = threading.Thread(target=consumer); t.start()
with c: out.append(1); c.notify()
t.join(); print(out)
signal.signal(signal.SIGALRM, lambda *_: print("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause()
print(signal.sigtimedwait([signal.SIGUSR1], 0.01)); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); os.kill(os.getpid(), signal.SIGUSR1); print(signal.sigwaitinfo([signal.SIGUSR1]).si_signo == signal.SIGUSR1)
ep = select.epoll(); ep.register(r, select.EPOLLIN); print(ep.poll(0)); os.write(w, b"x"); print([v for _, v in ep.poll(1)]); print(select.select([r], [w], [], 0) == ([r], [w], [])); po = select.poll(); po.register(r, select.POLLIN); print([v for _, v in po.poll(0)])
print(os.sched_getaffinity(0) != set(), os.get_inheritable(r), os.cpu_count() > 0, os.getpriority(os.PRIO_PROCESS, 0)); t0 = time.monotonic(); time.sleep(0.05); print(time.monotonic() - t0 >= 0.05)
fd = os.memfd_create("m"); os.ftruncate(fd, 8192); print(os.fstat(fd).st_size); fd2 = os.eventfd(3); print(os.eventfd_read(fd2)); print(os.getrandom(8) != os.getrandom(8))
try: os.open("/nosuch", os.O_RDONLY)
except OSError as x: print(x)
print(os.uname().sysname, os.path.exists("/proc/self/exe"), len(os.listdir("/proc/self/fd")) > 3)
with os.scandir("/dev/pts") as it: print(sorted(x.name for x in it if x.name == "ptmx"))
m, s = os.openpty(); os.write(m, b"line\n"); print(os.read(s, 10), os.isatty(s), os.ttyname(s).startswith("/dev/pts/")); print(os.get_terminal_size(s)); os.set_blocking(r, False)
os.read(r, 1)
try: os.read(r, 1)
except BlockingIOError as x: print(x.errno)
print(os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ) > 0, os.wait()[1]); os.execvp("echo", ["echo", "replaced"])
'
p -c '
import socket, threading
' 2>&1 | tail -n 1
p -c '
import time
t = time.time(); l = [bytes(4096) for _ in range(5000)]; d = {i: str(i) for i in range(100000)}; print(len(l), d[99999]); del l, d
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
print(deep(900)); import sys; sys.setrecursionlimit(10 ** 6)
x = bytearray(50 * 1024 * 1024); x[::4096] = b"1" * (len(x) // 4096); print(x.count(b"1")); sys.exit(6)
'; echo $?
p -c 'import os; os.abort()' 2> /dev/null; echo $?; p -c 'raise ValueError("x")' 2>&1 | tail -n 1; echo 'print(input())' > t.py; echo typed | p t.py; p -c 'import nosuch' 2>&1 | tail -n 1
