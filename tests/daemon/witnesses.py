"""
Clients of a small cloud in every state a connection can be in, which tell afterwards what became of them.

Each knows the process that serves it at the beginning, so that a test can say exactly which ones may be lost with it.
"""

from __future__ import annotations

import http.client
import re
import secrets
import socket
import threading
import time
from typing import Any, Self

from tests.daemon.small_cloud import PATIENCE_S, SmallCloud

IDLE = 6
OTHERS = 2  # of each other kind: one for each front, most often
ASK_EVERY_S = 0.002
SETTLED_S = 0.005
FOLLOWS_WITHIN = 100  # requests, 20 ms apart
LINE = 16
_UPLOAD = bytes(range(200)) * 10
LOST = (OSError, http.client.HTTPException)


class Witness:
    """One connection; ``kind`` says what it was doing."""

    kind = "idle"

    def __init__(self, cloud: SmallCloud) -> None:
        self.connection = cloud.connect()
        _status, text = cloud.get("/", self.connection)
        self.word, pid, _count = text.split()
        self.pid = int(pid)
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = self.connection.sock
        self.begin()

    def begin(self) -> None:
        """Do the first half of something."""

    def go_on(self) -> str:
        """Do the other half; gives what is wrong with it."""
        return ""

    def check(self, word: str) -> str:
        """
        End what was begun, then ask once more.

        :return: what went wrong; empty: all is right, on the same connection
        """
        try:
            wrong = self.go_on()
            if wrong:
                return f"{self.kind}: {wrong}"
            for _ in range(FOLLOWS_WITHIN):  # what could not move follows in a moment
                self.connection.request("GET", "/")
                text = self.connection.getresponse().read().decode()
                if text.split()[0] == word:
                    break
                time.sleep(0.02)
        except LOST as error:
            return f"{self.kind}: lost: {type(error).__name__}: {error}"
        if self.connection.sock is not self._socket:
            return f"{self.kind}: it was connected anew"
        return "" if text.split()[0] == word else f"{self.kind}: it was answered {text!r}"

    def end(self) -> None:
        """Leave."""
        self._socket.close()
        self.connection.close()


class Waiting(Witness):
    """A request is in flight, until ``release``."""

    kind = "in flight"

    def __init__(self, cloud: SmallCloud) -> None:
        self._flag = cloud.folder / f"release-{secrets.token_hex(4)}"
        super().__init__(cloud)

    def begin(self) -> None:
        self.connection.request("GET", f"/until/{self._flag.name}")

    def release(self) -> None:
        """Let it be answered."""
        self._flag.touch()

    def go_on(self) -> str:
        self.release()
        answer = self.connection.getresponse()
        text = answer.read().decode()
        return "" if (answer.status, text) == (200, self.word) else f"{answer.status} {text}"


class Uploading(Witness):
    """Half a body was sent."""

    kind = "upload"

    def begin(self) -> None:
        self.connection.putrequest("PUT", "/upload")
        self.connection.putheader("Content-Length", str(len(_UPLOAD)))
        self.connection.endheaders()
        self.connection.send(_UPLOAD[:777])

    def go_on(self) -> str:
        self.connection.send(_UPLOAD[777:])
        answer = self.connection.getresponse()
        text = answer.read().decode()
        return "" if text == f"{len(_UPLOAD)} {sum(_UPLOAD)}" else f"{answer.status} {text}"


class Downloading(Witness):
    """An answer that has no end is read."""

    kind = "download"

    def begin(self) -> None:
        self.connection.request("GET", "/download")
        self._answer = self.connection.getresponse()
        self._next = 0
        self._read_one()

    def _read_one(self) -> str:
        line = self._answer.read(LINE)
        expected, self._next = b"%015d\n" % self._next, self._next + 1
        return "" if line == expected else f"{line!r} in the place of {expected!r}"

    def check(self, word: str) -> str:
        """Read what has come and 20 lines more; there is no next request."""
        until = time.monotonic() + PATIENCE_S
        fresh = 0
        try:
            while fresh < 20 and time.monotonic() < until:
                began = time.monotonic()
                wrong = self._read_one()
                if wrong:
                    return f"{self.kind}: {wrong}"
                fresh += time.monotonic() - began > SETTLED_S  # it was waited for
        except LOST as error:
            return f"{self.kind}: lost: {type(error).__name__}: {error}"
        return "" if fresh >= 20 else f"{self.kind}: it does not go on"


class Streaming(Witness):
    """A stream that follows into new code."""

    kind = "stream"

    def begin(self) -> None:
        self.connection.request("GET", "/stream")
        self._answer = self.connection.getresponse()
        self._answer.readline()

    def check(self, word: str) -> str:
        """Read until a line of that word comes."""
        until = time.monotonic() + PATIENCE_S
        fresh = 0
        try:
            while fresh < 5 and time.monotonic() < until:
                began = time.monotonic()
                line = self._answer.readline().decode()
                if not re.fullmatch(r"\w+ from \w+\n", line):
                    return f"{self.kind}: {line!r}"
                fresh = fresh + (time.monotonic() - began > SETTLED_S) if line.startswith(word) else 0
        except LOST as error:
            return f"{self.kind}: lost: {type(error).__name__}: {error}"
        return "" if fresh >= 5 else f"{self.kind}: it is not answered by {word}"


class Pinger(threading.Thread):
    """
    A client that asks every 2 ms on one connection; it connects anew where that is lost.

    :ivar longest_s: from asking to the answer, at worst; that it was lost counts as no answer
    :ivar losses: how often its connection was lost
    """

    def __init__(self, cloud: SmallCloud) -> None:
        super().__init__(daemon=True)
        self._cloud = cloud
        self.longest_s = 0.0
        self.losses = 0
        self.pid = 0
        self.wrong: list[str] = []
        self.first_at: dict[str, float] = {}  # word -> when it was first answered
        self.last_at: dict[str, float] = {}
        self._stop_now = threading.Event()

    def run(self) -> None:
        connection = self._cloud.connect()
        asked = time.monotonic()
        while not self._stop_now.is_set():
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                text = answer.read().decode()
            except LOST:
                self.losses += 1
                connection.close()
                time.sleep(ASK_EVERY_S)
                continue
            end = time.monotonic()
            word, pid, *_ = text.split() if answer.status == 200 else (f"status {answer.status}", 0)
            self.pid = self.pid or int(pid)
            self.first_at.setdefault(word, end)
            self.last_at[word] = end
            self.longest_s = max(self.longest_s, end - asked)
            time.sleep(ASK_EVERY_S)
            asked = time.monotonic()
        connection.close()

    def end(self) -> None:
        """Stop; returns when it has."""
        self._stop_now.set()
        if self.is_alive():
            self.join(PATIENCE_S)


class Witnesses:
    """Some of every kind, and a pinger."""

    def __init__(self, cloud: SmallCloud) -> None:
        self.all: list[Witness] = [Witness(cloud) for _ in range(IDLE)]
        for kind in (Waiting, Uploading, Downloading, Streaming):
            self.all += [kind(cloud) for _ in range(OTHERS)]
        self.pinger = Pinger(cloud)

    def __enter__(self) -> Self:
        self.pinger.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.pinger.end()
        for each in self.all:
            each.end()

    def check(self, word: str) -> dict[Witness, str]:
        """What went wrong, with whom."""
        found = {each: each.check(word) for each in self.all}
        return {each: wrong for each, wrong in found.items() if wrong}
