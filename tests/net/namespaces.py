"""
Hosts and guests in network namespaces that have no name: each ends with the thread or the process that made it.

A host is a thread with a namespace of its own; a guest is a process with one, which carries frames between the host's
tap and ``eth0`` of its own (``tests.net.guest``).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from twisted.trial.unittest import SynchronousTestCase

from net import FixedIP, Port, tap_name

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000


class Host:
    """A namespace in which functions are called."""

    def __init__(self, case: SynchronousTestCase) -> None:
        if os.geteuid() != 0:
            case.fail("tests of the data plane make network namespaces: run them as root")
        self._case = case
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=_leave_namespace)
        case.addCleanup(self._thread.shutdown)
        self.path = self.call(lambda: f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net")
        self.run("ip link set lo up")

    def call(self, function: Callable[[], T]) -> T:
        return self._thread.submit(function).result()

    def run(self, command: str, check: bool = True) -> str:
        return run_in(self.path, command, check)

    def guest(self, port: Port, prefix: str = "cld") -> Guest:
        """Who is plugged into the tap of ``port``; it has a MAC and no address yet."""
        return Guest(self._case, self.path, tap_name(prefix, port.id), port)


class Guest:
    """The other end of a tap."""

    def __init__(self, case: SynchronousTestCase, host_path: str, tap: str, port: Port) -> None:
        self._case = case
        command = ["nsenter", f"--net={host_path}", sys.executable, "-m", "tests.net.guest", tap, port.mac]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        case.addCleanup(end, self._process)
        self.port = port
        self.path = f"/proc/{self._process.pid}/ns/net"
        case.assertEqual(_line(self._process), "ready")

    @property
    def fixed(self) -> FixedIP:
        return self.port.fixed_ips[0]

    def configure(self) -> Guest:
        """Take the address and the router of the port by hand."""
        self.run(f"ip addr add {self.fixed.address}/{self.fixed.prefix_length} dev eth0")
        self.run(f"ip route add default via {self.fixed.gateway}")
        return self

    def run(self, command: str, check: bool = True) -> str:
        return run_in(self.path, command, check)

    def pings(self, address: str) -> bool:
        return ", 0% packet loss" in self.run(f"busybox ping -c 1 -W 1 {address}", check=False)

    def send(self, frame: bytes) -> None:
        """Put a frame on the wire to the host, whatever it says."""
        assert self._process.stdin
        self._process.stdin.write(frame.hex() + "\n")
        self._process.stdin.flush()

    def ping_on(self, address: str) -> Pings:
        """Ask for an echo each millisecond from now on."""
        return Pings(self._case, self.path, address)

    def listen(self, port: int) -> Callable[[], str]:
        """Wait for datagrams; each call of what is returned gives the next one's ``source text``."""
        command = ["nsenter", f"--net={self.path}", sys.executable, "-m", "tests.net.listener", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._case.addCleanup(end, process)
        self._case.assertEqual(_line(process), "ready")
        return lambda: _line(process)


class Pings:
    """A guest that asks for echoes, one each millisecond."""

    def __init__(self, case: SynchronousTestCase, path: str, address: str) -> None:
        command = ["nsenter", f"--net={path}", sys.executable, "-m", "tests.net.pinger", address]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        case.addCleanup(end, self._process)

    def more(self, count: int) -> None:
        """Wait until that many more were answered."""
        assert self._process.stdin
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        assert _line(self._process) == "heard"

    def finished(self) -> tuple[int, int]:
        """(sent, lost); no more are sent."""
        assert self._process.stdin
        self._process.stdin.close()
        sent, lost = _line(self._process).split()
        return int(sent), int(lost)


def run_in(path: str, command: str, check: bool = True) -> str:
    done = subprocess.run(
        ["nsenter", f"--net={path}", "sh", "-c", command], capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def _leave_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
