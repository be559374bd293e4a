"""Access lines: their form, what a client cannot do to them, and their writer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon import _access_log
from cloudd.daemon._access_log import AccessLog, json_formatter, safe_text, text_formatter


@define
class Facts:
    """What a finished request has."""

    method: bytes = b"GET"
    path: bytes = b"/v1/AUTH_p/c/o"
    peer: str = "127.0.0.1:5"
    face: str = "object"
    id: str = "req-1"
    generation: int = 3
    route: str = "object"
    project_id: str = "p"
    status: int = 200
    sent_bytes: int = 10


NOW = 1_700_000_000.25


class FormatTests(SynchronousTestCase):
    def test_text(self) -> None:
        """Fields in their order; a dash where there is nothing."""
        line = text_formatter("front-2")(Facts(), NOW, 0.0015, 7)
        self.assertEqual(
            line,
            b"2023-11-14T22:13:20.250Z req-1 object p GET /v1/AUTH_p/c/o object 200 1.500 7 10 3 127.0.0.1:5 front-2\n",
        )
        empty = text_formatter()(Facts(b"", b"", "", "api", "", 0, "unknown", "", 400, 0), NOW, 0.0, 0)
        self.assertEqual(empty.split()[1:], b"- api - - - unknown 400 0.000 0 0 0 - -".split())

    def test_json(self) -> None:
        """The same facts by name."""
        line = json.loads(json_formatter("front-2")(Facts(path=b"/a\xff"), NOW, 0.0015, 7))
        self.assertEqual((line["path"], line["worker"]), ("/a%FF", "front-2"))
        self.assertEqual((line["ms"], line["received_bytes"], line["sent_bytes"], line["generation"]), (1.5, 7, 10, 3))

    def test_seconds_change(self) -> None:
        """The kept part of the time is not kept too long."""
        write = text_formatter()
        times = [write(Facts(), now, 0, 0).split()[0] for now in (NOW, NOW + 0.5, NOW + 1, NOW)]
        self.assertEqual(times[0], times[3])
        self.assertEqual(times[2], b"2023-11-14T22:13:21.250Z")

    @given(method=st.binary(max_size=20), path=st.binary(max_size=3000))
    def test_no_injection(self, method: bytes, path: bytes) -> None:
        """Whatever a client sends, it is one line of fourteen fields, and valid JSON."""
        facts = Facts(method=method, path=path)
        line = text_formatter()(facts, NOW, 0, 0)
        self.assertEqual((line.count(b"\n"), len(line.decode("ascii").split(" "))), (1, 14))
        self.assertLess(len(line), 2000)
        self.assertEqual(json_formatter()(facts, NOW, 0, 0).count(b"\n"), 1)

    def test_safe_text(self) -> None:
        """What is harmless stays readable, percent signs too."""
        self.assertEqual(safe_text(b"/a%20b/~x:y@z"), "/a%20b/~x:y@z")
        self.assertEqual(safe_text(b'/a b"\\\r\n\x1b'), "/a%20b%22%5C%0D%0A%1B")


class WriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "log" / "access.log"
        self.log = AccessLog(self.path)
        self.patch(_access_log, "FLUSH_S", 0.0)

    def test_writes_all(self) -> None:
        """Everything that was written before ``stop`` is in the file, which is private."""
        self.log.start()
        for number in range(1000):
            self.log.write(b"%d\n" % number)
        self.log.stop()
        self.assertEqual(self.path.read_text().split(), [str(number) for number in range(1000)])
        self.assertEqual(self.path.stat().st_mode & 0o077, 0)

    def test_reopen(self) -> None:
        """After ``reopen`` lines go to a new file of the old name."""
        self.log.start()
        rotated = self.path.with_name("access.log.1")
        self.log.write(b"old\n")
        self.path.rename(rotated)
        self.log.reopen()
        while not self.path.exists():
            pass
        self.log.write(b"new\n")
        self.log.stop()
        self.assertIn("new", self.path.read_text())
        self.assertEqual((rotated.read_text() + self.path.read_text()).split(), ["old", "new"])

    def test_stopped_meanwhile(self) -> None:
        """What comes while a batch is written is written too, though the end comes with it."""
        write_batch = self.log._write_batch

        def interrupted() -> None:
            write_batch()
            if not self.log._stopping:
                self.log.write(b"late\n")
                self.log._stopping = True

        self.patch(self.log, "_write_batch", interrupted)
        self.log.start()
        self.log.write(b"early\n")
        self.log._thread.join()
        self.log.stop()
        self.assertEqual(self.path.read_text().split(), ["early", "late"])

    def test_no_line_is_lost(self) -> None:
        """Also one that comes while the thread takes those before it; and it is written without another one."""
        taken: list[bytes] = []

        class Lines(list[bytes]):
            def __getitem__(lines, key: Any) -> Any:
                found = super().__getitem__(key)
                if len(lines) == 1:
                    self.log.write(b"meanwhile\n")
                return found

        self.log._lines = Lines([b"first\n"])
        taken += self.log._take()
        self.assertTrue(self.log._wake.is_set())
        taken += self.log._take()
        self.assertEqual(taken[:2], [b"first\n", b"meanwhile\n"])

    def test_bounded(self) -> None:
        """A disk that does not take lines costs lines, not memory."""
        self.patch(_access_log, "MAX_WAITING", 3)
        for _ in range(5):
            self.log.write(b"x\n")
        self.assertEqual(self.log.dropped, 2)
        self.log.start()
        self.log.stop()
        self.assertEqual(self.path.read_text(), "x\n" * 3)

    def test_failure_is_told(self) -> None:
        """A full disk is a sentence for health; it goes away with the next good batch."""

        def full(_descriptor: int, _data: object) -> int:
            raise OSError(28, "No space left on device")

        self.log._descriptor = self.log._open()
        write = os.write
        self.patch(os, "write", full)
        self.log.write(b"x\n")
        self.log._write_batch()
        self.assertIn("No space left", self.log.failure)
        self.patch(os, "write", write)
        self.log._write_batch()
        self.assertEqual(self.log.failure, "")
        os.close(self.log._descriptor)
