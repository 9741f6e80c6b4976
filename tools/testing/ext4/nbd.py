# SPDX-License-Identifier: GPL-2.0
"""A disk for QEMU that a test holds in its hands: an NBD server on a socket, which notes every write and flush in the order in which they
came, and may fail some."""

import os
import socket
import struct
import threading

EIO = 5
READ, WRITE, DISCONNECT, FLUSH, TRIM, ZEROES = 0, 1, 2, 3, 4, 6


class Log:
    """What was asked of one or more disks, in order: (disk, what, offset, data)."""

    def __init__(self):
        self.entries, self.lock = [], threading.Lock()

    def add(self, *entry):
        with self.lock:
            self.entries.append(entry)


class Disk:
    """One disk: `path` holds it, `log` gets what changes it. `fails(what, offset, length)`, if set, says whether a request fails."""

    def __init__(self, name, path, log, where):
        self.name, self.log, self.fails = name, log, None
        self.size = os.path.getsize(path)
        self._fd = os.open(path, os.O_RDWR)
        self.socket = os.path.join(where, f"{name}.socket")
        self._listen = socket.socket(socket.AF_UNIX)
        self._listen.bind(self.socket)
        self._listen.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def drive(self, number):
        """QEMU's words for it."""
        return ["-drive", f"file=nbd+unix:///?socket={self.socket},format=raw,if=none,id=d{number},cache=writeback,rerror=report,werror=report",
                "-device", f"virtio-blk-pci,drive=d{number}"]

    def close(self):
        self._listen.close()
        # Another row's disk may have the same name.
        os.unlink(self.socket)

    def _accept(self):
        while True:
            try:
                peer = self._listen.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._guarded, args=(peer,), daemon=True).start()

    def _guarded(self, peer):
        try:
            with peer:
                if self._greet(peer):
                    self._serve(peer)
        except (OSError, EOFError):
            pass

    @staticmethod
    def _get(peer, length):
        data = bytearray()
        while len(data) < length:
            piece = peer.recv(length - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def _greet(self, peer):
        """Fixed newstyle negotiation; True when requests follow."""
        flags = 1 | 4 | 8 | 32 | 64     # flush, FUA, trim, write zeroes
        peer.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        self._get(peer, 4)
        while True:
            magic, option, length = struct.unpack(">8sII", self._get(peer, 16))
            self._get(peer, length)
            if magic != b"IHAVEOPT":
                return False

            def reply(kind, data=b""):
                peer.sendall(struct.pack(">QIII", 0x3e889045565a9, option, kind, len(data)) + data)
            if option in (6, 7):
                reply(3, struct.pack(">HQH", 0, self.size, flags))
                reply(3, struct.pack(">HIII", 3, 512, 4096, 1 << 25))
                reply(1)
                if option == 7:
                    return True
            elif option == 2:
                reply(1)
                return False
            else:
                reply(0x80000001)

    def _serve(self, peer):
        while True:
            magic, flags, what, handle, offset, length = struct.unpack(">IHHQQI", self._get(peer, 28))
            if magic != 0x25609513 or what == DISCONNECT:
                return
            data = self._get(peer, length) if what == WRITE else b""
            error = EIO if self.fails and self.fails(what, offset, length) else 0
            answer = b""
            if not error:
                answer = self._do(what, offset, length, data)
                if what in (WRITE, ZEROES, TRIM) and flags & 1:
                    self.log.add(self.name, FLUSH, 0, b"")
            peer.sendall(struct.pack(">IIQ", 0x67446698, error, handle) + answer)

    def _do(self, what, offset, length, data):
        if what == READ:
            return os.pread(self._fd, length, offset)
        if what in (ZEROES, TRIM):
            data = bytes(length)
        if what != FLUSH:
            os.pwrite(self._fd, data, offset)
            self.log.add(self.name, WRITE, offset, data)
        else:
            self.log.add(self.name, FLUSH, 0, b"")
        return b""
