# -*- test-case-name: tests.cluster.test_hosts -*-
"""
Hosts on this machine: network namespaces with an address each, on a bridge that the test has an address on, too.

**A cut** is one way: whoever shall not be heard sends to a hardware address that nobody has (a permanent entry in its
table of neighbours).  Its packets vanish, without an answer, as in a network that has come apart; those of the other
side still arrive.  Connections that were open stay open.  That needs no packet filter, and works on every kernel.

**Nothing stays.**  Whatever is made has a name with the number of its process.  A guard, a process of its own, waits
at a pipe for that process to end, however it ends, and removes everything then; ``sweep`` removes what a killed guard
left.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import randrange

from attrs import define, field, frozen

PREFIX = "cdt"
NAMES = Path("/run/netns")
NOWHERE = "02:00:00:00:00:01"  # locally administered, and of no host here
BRIDGE_HOST = 1
PATIENCE_S = 60.0
_NAME = re.compile(rf"{PREFIX}(\d+)[a-z](?:-[a-z0-9]+)?")
_letters = count()


@frozen
class Host:
    """
    A namespace.

    :ivar address: its only one, but for loopback
    :ivar namespace: its name
    """

    name: str
    address: str
    namespace: str

    @property
    def enter(self) -> tuple[str, ...]:
        """What to write before a command, so that it runs here; it keeps its process."""
        return ("nsenter", f"--net={NAMES / self.namespace}", "--")

    def processes(self) -> list[int]:
        """All that run here."""
        return processes_in(self.namespace)


@define
class Network:
    """
    :ivar prefix: of all names
    :ivar address: of this process on the bridge
    """

    prefix: str = field(factory=lambda: f"{PREFIX}{os.getpid()}{chr(ord('a') + next(_letters) % 26)}")
    hosts: list[Host] = field(factory=list)
    cuts: set[tuple[str, str]] = field(factory=set)  # addresses: from, to
    _net: str = field(init=False, default="")
    _guard: subprocess.Popen[bytes] | None = field(init=False, default=None)

    @property
    def address(self) -> str:
        return f"{self._net}.{BRIDGE_HOST}"

    def make(self, *names: str) -> list[Host]:
        """A bridge, and a host for each name (of small letters and digits)."""
        sweep()
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.hosts", self.prefix],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
        self._net = _free_net()
        ip("link", "add", self.prefix, "type", "bridge")
        ip("address", "add", f"{self.address}/24", "dev", self.prefix)
        ip("link", "set", self.prefix, "up")
        for number, name in enumerate(names):
            self._add(name, number)
        return self.hosts

    def _add(self, name: str, number: int) -> None:
        host = Host(name, f"{self._net}.{number + 10}", f"{self.prefix}-{name}")
        ip("netns", "add", host.namespace)
        self.hosts.append(host)
        link = f"{self.prefix}{number}"
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        ip("link", "set", link, "master", self.prefix, "up")
        inside = ("-n", host.namespace)
        ip(*inside, "address", "add", f"{host.address}/24", "dev", "eth0")
        ip(*inside, "link", "set", "eth0", "up")
        ip(*inside, "link", "set", "lo", "up")

    def cut(self, sender: Host, receiver: Host) -> None:
        """From now on nothing that ``sender`` sends arrives there; the other way nothing changes."""
        ip(
            *("-n", sender.namespace, "neighbour", "replace", receiver.address),
            *("lladdr", NOWHERE, "dev", "eth0", "nud", "permanent"),
        )
        self.cuts.add((sender.address, receiver.address))

    def part(self, one: Host, other: Host) -> None:
        """Cut both ways."""
        self.cut(one, other)
        self.cut(other, one)

    def mend(self) -> None:
        """Restore all that was cut."""
        for host in self.hosts:
            for sender, receiver in sorted(self.cuts):
                if sender == host.address:
                    ip("-n", host.namespace, "neighbour", "del", receiver, "dev", "eth0")
        self.cuts.clear()

    def remove(self) -> None:
        """Kill what runs on the hosts, and take everything away."""
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            guard.stdin.close()
            guard.wait(60)
        self.hosts.clear()


def ip(*words: str) -> str:
    """iproute2's ``ip``; what it prints."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        raise AssertionError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def processes_in(namespace: str) -> list[int]:
    """All processes of a namespace; none where it is gone."""
    try:
        inode = (NAMES / namespace).stat().st_ino
    except FileNotFoundError:
        return []
    return [pid for pid in _all_processes() if _inode_of(pid) == inode]


def _all_processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _inode_of(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


def _free_net() -> str:
    """The first three numbers of a /24 that no link here is in."""
    taken = {
        address["local"].rpartition(".")[0]
        for link in json.loads(ip("-4", "-json", "address"))
        for address in link["addr_info"]
    }
    while (found := f"10.{randrange(200, 250)}.{randrange(1, 255)}") in taken:
        pass
    return found


def remove_all(prefix: str) -> None:
    """Everything with names that begin so: processes, namespaces, links."""
    for namespace in _names(prefix):
        deadline = time.monotonic() + PATIENCE_S
        while (found := processes_in(namespace)) and time.monotonic() < deadline:
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        with suppress(AssertionError):
            ip("netns", "del", namespace)
    for link in _links(prefix):
        with suppress(AssertionError):  # the other end of a namespace that is just going
            ip("link", "del", link)


def sweep() -> None:
    """What processes that have ended left, whose guards were killed, too."""
    left = {match[1] for name in (*_names(PREFIX), *_links(PREFIX)) if (match := _NAME.match(name))}
    for pid in left:
        if not Path(f"/proc/{pid}").exists():
            for letter in "abcdefghijklmnopqrstuvwxyz":
                remove_all(f"{PREFIX}{pid}{letter}")


def _names(prefix: str) -> list[str]:
    return sorted(name for name in os.listdir(NAMES) if name.startswith(prefix)) if NAMES.exists() else []


def _links(prefix: str) -> list[str]:
    found = sorted(name for name in os.listdir("/sys/class/net") if name.startswith(prefix))
    return [name for name in found if _NAME.match(name)]


if __name__ == "__main__":
    sys.stdin.buffer.read()  # until the process that started this has ended
    remove_all(sys.argv[1])
