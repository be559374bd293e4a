# -*- test-case-name: tests.net.test_dhcp -*-
"""
One dnsmasq for all taps of a host, which outlives the process that started it.  Blocking.

It detaches itself and writes its pid; whoever comes next finds it by that file and by its command line, so that a
number which another process has since is never signalled.  It runs in the namespace of the thread that starts it.

The file ``loaded`` says what the process was last told: whoever is killed between writing and telling leaves it untrue,
and the next one tells again.  A file that has to be written is told of in any case: dnsmasq may have read what was
there before.
"""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import threading
from pathlib import Path
from typing import Final

from attrs import define, field

from ._dhcp import Part, Served, joined, part_of
from ._errors import NetError
from ._leases import Former, former_of, without
from ._needs import find_dnsmasq
from ._taps import DEFAULT_PREFIX
from ._values import Plan, Update

_END_S: Final = 5
_START_S: Final = 20.0
_READABLE: Final = 0o644
_READABLE_FOLDER: Final = 0o755


@define
class Dhcp:
    """
    The DHCP of one host.

    :ivar _folder: where its files are: of cloudd alone, and readable for the user that dnsmasq becomes
    :ivar _prefix: what names of our taps begin with
    :ivar _start_s: how long dnsmasq may take until it has detached itself, in seconds
    :ivar _parts: what was asked for, by port; ``None`` until the first ``apply``
    """

    _folder: Path
    _prefix: str = DEFAULT_PREFIX
    _start_s: float = _START_S
    _lock: threading.Lock = field(init=False, factory=threading.Lock)
    _parts: dict[str, Part] | None = field(init=False, default=None)

    def apply(self, plan: Plan) -> tuple[str, ...]:
        """
        Serve the ports of ``plan``, and no others; safe to call again.  Call it after ``HostNetwork.apply``.

        :return: what was done: of ``write FILE``, ``stop``, ``forget leases``, ``start``, ``reload``; empty: all was as
            planned
        :raises NetError: dnsmasq is missing or does not start; the files are written
        """
        with self._lock:
            self._parts = {port.id: part_of(port, self._prefix) for port in plan.ports}
            return self._serve()

    def change(self, update: Update) -> tuple[str, ...]:
        """
        Serve a small difference to what was asked for last; safe to call again.  After ``HostNetwork.change``.

        :return: as ``apply`` does
        :raises NetError: nothing was applied yet; or as from ``apply``
        """
        with self._lock:
            if self._parts is None:
                raise NetError("no plan was applied yet", "Apply the whole plan first")
            for port_id in update.gone_ports:
                self._parts.pop(port_id, None)
            self._parts.update((port.id, part_of(port, self._prefix)) for port in update.ports)
            return self._serve()

    def repair(self) -> tuple[str, ...]:
        """
        Put right what others have done to the files, and start a dnsmasq that has ended.

        :return: as ``apply`` does
        :raises NetError: as ``change`` does
        """
        return self.change(Update())

    def _serve(self) -> tuple[str, ...]:
        try:
            return self._served()
        except OSError as error:
            raise NetError(f"dnsmasq's files: {error}", f"See what is in the way: ls -l {self._folder}") from error

    def _served(self) -> tuple[str, ...]:
        served = joined((self._parts or {}).values(), self._folder, self._prefix)
        pid = self._running()
        if not served.configuration:
            return self._clear(pid)
        former = self._former(served)
        written = self._write(served)
        return (*written, *self._tell(pid, served, written, former))

    def pid(self) -> int | None:
        """Of the dnsmasq that is running for this folder."""
        return self._running()

    @property
    def _configuration(self) -> Path:
        return self._folder / "configuration"

    def _arguments(self) -> list[str]:
        return [f"--conf-file={self._configuration}"]

    def _running(self) -> int | None:
        try:
            pid = int((self._folder / "pid").read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except (OSError, ValueError):
            return None
        return pid if set(self._arguments()) <= set(arguments) else None

    def _write(self, served: Served) -> tuple[str, ...]:
        _make_readable(self._folder)
        texts = {"hosts": served.hosts, "options": served.options, "configuration": served.configuration}
        changed = [name for name, text in texts.items() if not _is_there(self._folder / name, text)]
        for name in changed:
            _write_whole(self._folder / name, texts[name])
        return tuple(f"write {name}" for name in changed)

    def _former(self, served: Served) -> Former:
        """Note whose leases are in the way, or may be."""
        hosts, noted = (_text_of(self._folder / name) or "" for name in ("hosts", "former"))
        if hosts == served.hosts and not noted:
            return Former({}, frozenset())
        leases = _text_of(self._folder / "leases") or ""
        former = former_of(noted, hosts, served.hosts, leases)
        self._note(former, noted)
        return former

    def _note(self, former: Former, before: str) -> None:
        if former.text() != before:
            _write_whole(self._folder / "former", former.text())

    def _clear(self, pid: int | None) -> tuple[str, ...]:
        stopped = self._stop(pid)
        for name in ("hosts", "options", "configuration", "leases", "pid", "loaded", "former"):
            (self._folder / name).unlink(missing_ok=True)
        return stopped

    def _tell(self, pid: int | None, served: Served, written: tuple[str, ...], former: Former) -> tuple[str, ...]:
        loaded = self._folder / "loaded"
        wanted = f"{_digest(served.configuration)} {_digest(served.hosts + served.options)}"
        before = _text_of(loaded) or ""
        if pid and before == wanted and not written and not former.disputed:
            return ()
        same = before.partition(" ")[0] == wanted.partition(" ")[0] and "write configuration" not in written
        if pid and same and not former.disputed:
            os.kill(pid, signal.SIGHUP)
            done: tuple[str, ...] = ("reload",)
        else:
            done = (*self._stop(pid), *self._forget(former), "start")
            self._start()
        loaded.write_text(wanted)
        return done

    def _forget(self, former: Former) -> tuple[str, ...]:
        """Take disputed leases out of the file, which nobody reads or writes now."""
        if not former.disputed:
            return ()
        leases = self._folder / "leases"
        _write_whole(leases, without(_text_of(leases) or "", former.disputed))
        self._note(former.settled(), former.text())
        return ("forget leases",)

    def _stop(self, pid: int | None) -> tuple[str, ...]:
        if pid is None:
            return ()
        # By its descriptor: the number may be another's by the time that we have waited.
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            if not _ended(descriptor):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                _ended(descriptor)
        finally:
            os.close(descriptor)
        return ("stop",)

    def _start(self) -> None:
        program = find_dnsmasq()
        if program is None:
            raise NetError("dnsmasq is not there", "Install the Debian package dnsmasq-base")
        by_hand = f"Try it by hand: dnsmasq -d {self._arguments()[0]}"
        with subprocess.Popen(  # noqa: S603 - a program of the system, with arguments of ours
            [program, *self._arguments()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                _, said = process.communicate(timeout=self._start_s)
            except subprocess.TimeoutExpired:
                # With what it has started itself and what is still of its group.
                os.killpg(process.pid, signal.SIGKILL)
                raise NetError(f"dnsmasq has not started within {self._start_s:g} s", by_hand) from None
        if process.returncode:
            raise NetError(f"dnsmasq does not start: {' '.join(said.split())[:300]}", by_hand)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _make_readable(folder: Path) -> None:
    """The user that dnsmasq becomes reads there again, whatever our umask."""
    folder.mkdir(parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    if mode & _READABLE_FOLDER != _READABLE_FOLDER:
        folder.chmod(mode | _READABLE_FOLDER)


def _write_whole(path: Path, text: str) -> None:
    """Whole or not at all, so that a reload in the middle reads one plan; for all to read."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text)
    draft.chmod(_READABLE)
    draft.rename(path)


def _is_there(path: Path, text: str) -> bool:
    """With this text, and for all to read."""
    return _text_of(path) == text and path.stat().st_mode & _READABLE == _READABLE


def _ended(descriptor: int) -> bool:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(_END_S * 1000))
