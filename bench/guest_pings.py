"""
Whether a guest's packets get through while cloudd changes: ``python -m bench.guest_pings``, as root.

One server with a real guest is pinged each millisecond, from its host, while nothing happens; while cloudd swaps its
code; hands over to new processes; ends and starts again; and is killed, every process of it, and starts again.  An echo
counts as lost when it did not come until 5 s after the last was sent.

Prints one JSON object: for each of these, seconds, echoes sent, lost, and the longest an echo took in milliseconds.
Exits with 1 when one was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from attrs import define, field

from bench.real_servers.__main__ import SETTINGS, start
from bench.upgrading import UpgradedCloud, ended_by_signals, log
from tests.running_cloud import CHECKOUT, CLIENTS, RunningCloud

EACH_S: Final = 0.001
LATE_S: Final = 5.0
REST_S: Final = 3.0
BOOT_S: Final = 240.0
READY: Final = "cloudd guest: ready"
ECHO, IDENT = 8, 4713
_SEQUENCES: Final = 1 << 16


def checksum(data: bytes) -> int:
    """Of the Internet Protocol (RFC 1071); an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


@define
class Pings:
    """
    Echo requests (RFC 792) to one address, each millisecond, until ``end``.

    :ivar waiting: number -> when it was sent
    """

    address: str
    sent: int = 0
    longest_s: float = 0.0
    waiting: dict[int, float] = field(factory=dict)
    _ended: bool = False
    _threads: list[threading.Thread] = field(factory=list)

    def begin(self) -> None:
        link = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        for run in (self._send, self._receive):
            self._threads.append(threading.Thread(target=run, args=(link,), daemon=True))
            self._threads[-1].start()

    def end(self) -> None:
        """Send no more, and wait for what is late."""
        self._ended = True
        for thread in self._threads:
            thread.join()

    def _send(self, link: socket.socket) -> None:
        due = time.monotonic()
        while not self._ended:
            number = self.sent % _SEQUENCES
            head = struct.pack("!BBHHH", ECHO, 0, 0, IDENT, number)
            packet = struct.pack("!BBHHH", ECHO, 0, checksum(head), IDENT, number)
            self.waiting[number] = time.monotonic()
            link.sendto(packet, (self.address, 0))
            self.sent += 1
            due += EACH_S
            time.sleep(max(0.0, due - time.monotonic()))

    def _receive(self, link: socket.socket) -> None:
        last = time.monotonic()
        while not self._ended or (self.waiting and time.monotonic() - last < LATE_S):
            if not self._ended:
                last = time.monotonic()
            if not select.select([link], [], [], 0.1)[0]:
                continue
            answer, (who, _) = link.recvfrom(200)
            length = (answer[0] & 15) * 4
            kind, _, _, ident, number = struct.unpack("!BBHHH", answer[length : length + 8])
            if (who, kind, ident) == (self.address, 0, IDENT) and number in self.waiting:
                self.longest_s = max(self.longest_s, time.monotonic() - self.waiting.pop(number))


def during(address: str, what: str, act: Callable[[], Any]) -> dict[str, Any]:
    """Ping while ``act`` runs, and a little before and after."""
    pings = Pings(address)
    began = time.monotonic()
    pings.begin()
    time.sleep(REST_S)
    act()
    time.sleep(REST_S)
    seconds = time.monotonic() - began
    pings.end()
    found = {"seconds": round(seconds, 1), "sent": pings.sent, "lost": len(pings.waiting)}
    log(f"{what}: {found}")
    return {**found, "longest_ms": round(pings.longest_s * 1e3, 1)}


def kill_all(code: UpgradedCloud) -> None:
    """Every process at once, as a power cut would; guests are no children of them."""
    process = code.cloud.process
    assert process is not None
    for pid in code.processes():
        os.kill(pid, signal.SIGKILL)
    process.wait(60)
    code.cloud.start()


def restart(code: UpgradedCloud) -> None:
    code.cloud.stop()
    code.cloud.start()


def openstack(cloud: RunningCloud, *words: str) -> str:
    """What the command line prints."""
    command = [str(CLIENTS / "openstack"), *words]
    return subprocess.run(
        command, env=cloud.environment(), capture_output=True, text=True, timeout=BOOT_S, check=True
    ).stdout


def boot(cloud: RunningCloud) -> str:
    """The address of a server that answers echoes."""
    openstack(cloud, "security", "group", "rule", "create", "default", "--protocol", "icmp")
    wish = ("--image", "cloudd-test", "--flavor", "m1.tiny", "--network", "private", "--wait", "first")
    openstack(cloud, "server", "create", *wish)
    deadline = time.monotonic() + BOOT_S
    while READY not in openstack(cloud, "console", "log", "show", "first"):
        if time.monotonic() > deadline:
            raise SystemExit(f"the guest did not say {READY!r} within {BOOT_S:g} s")
        time.sleep(1)
    shown = json.loads(openstack(cloud, "server", "show", "first", "-f", "json"))
    return str(shown["addresses"]["private"][0])


def measure() -> dict[str, Any]:
    with ExitStack() as at_end:
        code = UpgradedCloud.create(SETTINGS)
        at_end.callback(code.remove)
        start(code.cloud, at_end, BOOT_S)
        subprocess.run([CHECKOUT / "script" / "first-server-setup", code.cloud.state], check=True)
        at_end.callback(openstack, code.cloud, "server", "delete", "--wait", "first")
        address = boot(code.cloud)
        acts: dict[str, Callable[[], Any]] = {
            "nothing": lambda: time.sleep(5),
            "swap": lambda: code.upgrade("swap"),
            "hand-over": lambda: code.upgrade("hand-over"),
            "restart": lambda: restart(code),
            "kill -9": lambda: kill_all(code),
        }
        return {what: during(address, what, act) for what, act in acts.items()}


def main() -> int:
    argparse.ArgumentParser(description="Pings of a guest while cloudd changes.").parse_args()
    ended_by_signals()
    found = measure()
    print(json.dumps(found, indent=1))
    return 1 if any(each["lost"] for each in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
