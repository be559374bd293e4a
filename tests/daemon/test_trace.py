"""One request is found in the logs, at any place in them, and reading them is bounded."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from cloudd.control import Actor, Audit, AuditEntry, TracedRequest
from cloudd.daemon import _trace
from cloudd.daemon._access_log import FORMATTERS
from cloudd.daemon._trace import Traces, code_of, search_logs

from .code_trees import ThreadsAtOnce
from .test_access_log import NOW, Facts

ID = "req-418c9aa5-9a93-4f9f-99c2-a890682196c8"
FORMS = {form: FORMATTERS[form]("front-1") for form in FORMATTERS}


def line(request_id: str, *, form: str = "text", now: float = NOW, generation: int = 3, path: bytes = b"/") -> bytes:
    """One access line."""
    return FORMS[form](Facts(id=request_id, generation=generation, path=path), now, 0.001, 0)


def noise(count: int) -> bytes:
    """Lines of other requests, in both forms."""
    return b"".join(line(f"req-{number}", form=("text", "json")[number % 2]) for number in range(count))


def committed(
    time: float, generation: int, code: str, duration_s: float = 0.0, result: str = "committed"
) -> AuditEntry:
    """A change that ended at ``time``."""
    return AuditEntry(time=time, who=Actor(uid=0, pid=1, user="root"), action="upgrade", result=result,
                      new_hash=code, generation=generation, duration_s=duration_s)  # fmt: skip


class SearchCase(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.log = self.folder / "access.log"

    def write(self, name: str, data: bytes, age: int = 0) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        os.utime(path, (NOW - age, NOW - age))
        return path

    def paths(self) -> list[str]:
        """Paths of the requests that are found."""
        return [request.path for request in search_logs(self.log, ID).requests]


class SearchTests(SearchCase):
    def test_both_forms_in_all_files(self) -> None:
        """The log and its neighbours, whatever form each has; oldest first; others of the folder are none."""
        self.write("access.log", noise(5) + line(ID, now=NOW + 9, path=b"/new") + noise(5))
        self.write("access.log.1", line(ID, form="json", now=NOW + 5, path=b"/old"), 10)
        self.write("access.log-20261120", line(ID, now=NOW, path=b"/oldest"), 20)
        self.write("access.logs", line(ID, path=b"/other"))
        self.write("other.log", line(ID, path=b"/other"))
        found = search_logs(self.log, ID)
        self.assertEqual([request.path for request in found.requests], ["/oldest", "/old", "/new"])
        self.assertEqual([Path(file.path).name for file in found.files],
                         ["access.log", "access.log.1", "access.log-20261120"])  # fmt: skip
        for file in found.files:
            self.assertEqual((file.searched_bytes, file.cause), (file.size_bytes, ""))
        request = found.requests[0]
        self.assertEqual((request.worker, request.generation, request.status, request.ms), ("front-1", 3, 200, 1.0))

    def test_parts_come_before_the_end(self) -> None:
        """Also those that left within the millisecond in which the request ended."""
        end = line(ID, generation=4)
        parts = [FORMS["text"](Facts(id=ID, generation=number), NOW, 0.001, 0, True) for number in (2, 3)]
        self.write("access.log", end + parts[0] + parts[1])
        found = search_logs(self.log, ID).requests
        self.assertEqual([(request.generation, request.moved) for request in found], [(2, True), (3, True), (4, False)])

    def test_the_id_must_be_that_of_the_line(self) -> None:
        """Neither a path that has it nor a longer id counts, nor a line that is torn."""
        torn = line(ID)[10:]
        self.write("access.log", line("req-1", path=ID.encode()) + line(ID + "0") + torn + b"\n" + b"x" + ID.encode())
        self.assertEqual(self.paths(), [])

    def test_no_log(self) -> None:
        """Nothing to search is an answer too."""
        found = search_logs(self.folder / "absent" / "access.log", ID)
        self.assertEqual((found.requests, found.files), ([], []))

    def test_what_cannot_be_searched_is_named(self) -> None:
        """Compressed files, pipes and folders; a pipe is not waited for."""
        self.write("access.log.2.gz", b"x", 30)
        (self.folder / "access.log.d").mkdir()
        os.mkfifo(self.log)
        causes = {Path(file.path).name: file.cause for file in search_logs(self.log, ID).files}
        self.assertEqual(causes, {"access.log": "is no regular file", "access.log.d": "is no regular file",
                                  "access.log.2.gz": "is compressed"})  # fmt: skip

    def test_files_that_cannot_be_read(self) -> None:
        """A link to nothing is no file; one that fails at opening or reading is named, and the others are searched."""
        (self.folder / "access.log.0").symlink_to(self.folder / "nothing")
        self.write("access.log", line(ID))
        self.write("access.log.1", line(ID), 10)
        opened, read = os.open, os.pread

        def refuse(path: Path, flags: int) -> int:
            if path == self.log:
                raise OSError(13, "Permission denied")
            return opened(path, flags)

        def fail(_descriptor: int, _count: int, _begin: int) -> bytes:
            raise OSError(5, "Input/output error")

        for name, broken, word in (("open", refuse, "Permission denied"), ("pread", fail, "Input/output error")):
            self.patch(os, name, broken)
            found = search_logs(self.log, ID)
            self.assertEqual(len(found.files), 2)
            self.assertEqual((word in found.files[0].cause, len(found.requests)), (True, int(name == "open")))
            self.patch(os, "open", opened)
        self.patch(os, "pread", read)

    def test_a_file_that_was_renamed_meanwhile_counts_once(self) -> None:
        """Two names of one file are one file."""
        self.write("access.log", line(ID))
        os.link(self.log, self.folder / "access.log.1")
        self.assertEqual((len(self.paths()), len(search_logs(self.log, ID).files)), (1, 1))

    def test_a_file_without_its_last_line_end(self) -> None:
        """A line that is being written counts once it is whole."""
        self.write("access.log", line(ID)[:-1])
        self.assertEqual(self.paths(), ["/"])


class BoundsTests(SearchCase):
    @given(block=st.integers(1, 400), before=st.integers(0, 4), between=st.integers(0, 4))
    def test_any_size_of_blocks(self, block: int, before: int, between: int) -> None:
        """Where a block ends makes no difference."""
        self.folder.mkdir(exist_ok=True)
        self.write("access.log", noise(before) + line(ID, path=b"/1") + noise(between) + line(ID, path=b"/2"))
        self.patch(_trace, "BLOCK_BYTES", block)
        self.assertEqual(sorted(self.paths()), ["/1", "/2"])

    def test_so_many_bytes(self) -> None:
        """The end of the newest file, then no more; the answer says so."""
        first, last = line(ID, path=b"/1"), line(ID, path=b"/2")
        self.write("access.log", first + noise(3) + last)
        self.write("access.log.1", line(ID), 10)
        self.patch(_trace, "MAX_BYTES", len(first) // 2 + len(noise(3) + last))
        found = search_logs(self.log, ID)
        self.assertEqual([request.path for request in found.requests], ["/2"])
        self.assertEqual(found.files[0].searched_bytes, _trace.MAX_BYTES)
        self.assertLess(found.files[0].searched_bytes, found.files[0].size_bytes)
        self.assertIn("searched already", found.files[1].cause)

    def test_so_many_lines(self) -> None:
        """An id that a client used for all its requests does not fill the memory."""
        self.patch(_trace, "MAX_LINES", 3)
        self.write("access.log", line(ID) * 10)
        self.write("access.log.1", line(ID), 10)
        found = search_logs(self.log, ID)
        self.assertEqual((len(found.requests), found.more), (3, True))
        self.assertIn("3 lines were found already", found.files[1].cause)
        self.patch(_trace, "MAX_LINES", 11)
        found = search_logs(self.log, ID)
        self.assertEqual((len(found.requests), found.more), (11, False))

    def test_so_many_files(self) -> None:
        """The newest ones."""
        self.patch(_trace, "MAX_FILES", 2)
        for age in range(4):
            self.write(f"access.log.{age}", b"", age)
        self.assertEqual([Path(file.path).name for file in search_logs(self.log, ID).files],
                         ["access.log.0", "access.log.1"])  # fmt: skip

    def test_giant_lines(self) -> None:
        """Lines of any length cost no memory, and what is left of one is none."""
        self.patch(_trace, "BLOCK_BYTES", 64)
        self.patch(_trace, "MAX_LINE_BYTES", 256)
        self.write("access.log", line(ID, path=b"/1") + line(ID)[:-1] + b"y" * 5_000 + b"\n" + line(ID, path=b"/2"))
        self.assertEqual(sorted(self.paths()), ["/1", "/2"])


class CodeTests(TestCase):
    def code(self, *entries: AuditEntry, generation: int = 3) -> str:
        request = TracedRequest(
            time="2023-11-14T22:13:20.250Z", request_id=ID, face="api", project_id="", method="GET", path="/",
            route="r", status=200, ms=1.0, received_bytes=0, sent_bytes=0, generation=generation, peer="",
        )  # fmt: skip
        return code_of(request, entries)

    def test_the_generation(self) -> None:
        """Its committed change; failed ones name what serves, but with another hash."""
        self.assertEqual(self.code(committed(NOW - 2, 3, "aa"), committed(NOW - 1, 4, "bb")), "aa")
        self.assertEqual(self.code(committed(NOW - 1, 3, "bb", result="failed")), "")
        self.assertEqual(self.code(), "")

    def test_entries_are_written_late(self) -> None:
        """A request may end before the change that its generation came with."""
        self.assertEqual(self.code(committed(NOW + 1, 3, "aa", duration_s=2.0)), "aa")
        self.assertEqual(self.code(committed(NOW + 5, 3, "aa")), "aa")

    def test_numbers_that_begin_anew(self) -> None:
        """The last generation of that number which had begun."""
        entries = [committed(NOW - 9, 3, "aa"), committed(NOW - 1, 3, "bb"), committed(NOW + 3, 3, "cc")]
        self.assertEqual(self.code(*entries), "bb")
        self.assertEqual(self.code(committed(NOW - 9, 3, "aa"), committed(NOW + 1, 3, "bb", duration_s=1.5)), "bb")


class TracesTests(SearchCase):
    async def test_lines_get_their_code(self) -> None:
        """Each from its own generation; the audit log is read only when there are lines."""
        asked: list[int] = []

        class Audited:
            def audit(self, limit: int) -> Deferred[Audit]:
                asked.append(limit)
                return succeed(Audit(entries=[committed(NOW - 9, 2, "aa"), committed(NOW, 3, "bb")]))

        traces = Traces(self.log, ThreadsAtOnce(), Audited())
        self.assertEqual(((await traces.find(ID)).requests, asked), ([], []))
        self.write("access.log", line(ID, generation=2) + line(ID, now=NOW + 1, generation=3))
        found = await traces.find(ID)
        self.assertEqual([(request.generation, request.hash) for request in found.requests], [(2, "aa"), (3, "bb")])
        self.assertEqual(asked, [_trace.MAX_AUDIT])
