"""
Be a guest: ``python -m tests.net.guest TAP MAC``.

Holds the host's tap open as QEMU does, enters a namespace of its own, makes ``eth0`` there and carries frames both ways
until it is killed or its standard input ends.  A line of hex there is a frame that is sent to the host as it is.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys


def _open_tap(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000))
    return descriptor


def main(tap: str, mac: str) -> None:
    host = _open_tap(tap)
    if ctypes.CDLL(None).unshare(0x40000000):
        raise SystemExit("a namespace could not be made")
    guest = _open_tap("eth0")
    for command in ("ip link set lo up", f"ip link set eth0 address {mac} up"):
        subprocess.run(command.split(), check=True)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for ready in select.select([host, guest, 0], [], [])[0]:
            if ready == host:
                try:
                    frame = os.read(host, 65536)
                except OSError:  # the tap was deleted
                    return
                os.write(guest, frame)
            elif ready == guest:
                os.write(host, os.read(guest, 65536))
            elif line := os.read(0, 65536):
                for text in line.decode().split():
                    os.write(host, bytes.fromhex(text))
            else:
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
