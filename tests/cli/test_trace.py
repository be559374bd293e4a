"""``cloudctl trace`` against a daemon in memory."""

from __future__ import annotations

import json

from cloudd.cli import Exit
from cloudd.daemon import _trace
from cloudd.daemon._access_log import FORMATTERS
from tests.daemon.test_access_log import NOW, Facts
from tests.daemon.test_trace import ID, line

from .test_commands import CommandCase


class TraceTests(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.log = self.state / "log" / "access.log"
        self.log.parent.mkdir(exist_ok=True)

    def test_a_request(self) -> None:
        """Worker, generation, code, status and time; the files are not named when all was searched."""
        self.version(2)
        self.run_it("upgrade", "--yes")
        new = self.upgrades.current.tree.hash
        self.log.write_bytes(line(ID, generation=2, path=b"/v1/[red]") + line(ID, generation=9))
        output = self.run_it("trace", ID).output
        for text in ("GET /v1/[red]  200", "1.000 ms", f"worker front-1, generation 2, code {new[:12]}",
                     "generation 9, code unknown", "face object", "from 127.0.0.1:5"):  # fmt: skip
            self.assertIn(text, output)
        self.assertNotIn("searched", output)
        found = json.loads(self.run_it("--json", "trace", ID).output)
        self.assertEqual([request["hash"] for request in found["requests"]], [new, ""])

    def test_parts(self) -> None:
        """What ran elsewhere before is shown with its worker and generation."""
        part = FORMATTERS["text"]("front-2")(Facts(id=ID, generation=1, status=0), NOW, 0.002, 7, True)
        self.log.write_bytes(part + line(ID, generation=2, now=NOW + 1))
        first, last = self.run_it("trace", ID).output.split("moved on, not answered yet")[1].split("  200")
        self.assertIn("after 2.000 ms, 7 bytes received", first)
        self.assertIn("worker front-2, generation 1", first)
        self.assertIn("worker front-1, generation 2", last)

    def test_nothing_is_found(self) -> None:
        """1, and where it was looked for; with ``--json`` too."""
        self.assertIn("there is no access log", self.run_it("trace", ID, code=Exit.REFUSED).output)
        self.log.write_bytes(line("req-1"))
        self.log.with_name("access.log.1.gz").write_bytes(b"")
        output = self.run_it("trace", ID, code=Exit.REFUSED).output
        self.assertIn(f"{ID} is not in the access logs", output)
        self.assertIn(f"searched: {self.log}: all of it", output)
        self.assertIn("access.log.1.gz: is compressed", output)
        found = json.loads(self.run_it("--json", "trace", ID, code=Exit.REFUSED).output)
        self.assertEqual((found["requests"], len(found["files"])), ([], 2))

    def test_not_all_was_searched(self) -> None:
        """What was left out is said, also when something was found."""
        self.log.write_bytes(line(ID) * 5)
        self.patch(_trace, "MAX_LINES", 2)
        self.patch(_trace, "MAX_BYTES", 400)
        output = self.run_it("trace", ID).output
        self.assertIn("more lines", output)
        self.assertIn("the last 400 of", output)

    def test_what_is_no_id(self) -> None:
        """The daemon's words, whatever the text."""
        for text in ("x", "req-", f"{ID}&a=b", "req-é", f"{ID} "):
            self.assertIn("a UUID", self.run_it("trace", text, code=Exit.REFUSED).output)
        self.run_it("trace", code=Exit.USAGE)
