"""Access lines are read back as they were written, and nothing else is taken for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._access_lines import parse_line, seconds_of
from cloudd.daemon._access_log import FORMATTERS, safe_text

from .test_access_log import NOW, Facts

TEXT, JSON = (FORMATTERS[form]("front-2") for form in ("text", "json"))


class ParseTests(SynchronousTestCase):
    @given(
        method=st.binary(max_size=20),
        path=st.binary(max_size=50),
        status=st.integers(0, 599),
        seconds=st.floats(0, 10**6),
        received=st.integers(0, 2**53),
        project=st.sampled_from(["", "5d3c"]),
    )
    def test_round_trip(
        self, method: bytes, path: bytes, status: int, seconds: float, received: int, project: str
    ) -> None:
        """Both forms say the same, whatever the client sent."""
        facts = Facts(method=method, path=path, status=status, project_id=project)
        text, json = (parse_line(form(facts, NOW, seconds, received)[:-1]) for form in (TEXT, JSON))
        assert text is not None and json is not None
        self.assertEqual((text.method, text.path), (_dashed(method), _dashed(path)))
        self.assertEqual((json.method, json.path), (safe_text(method), safe_text(path)))
        self.assertAlmostEqual(text.ms, json.ms, places=3)
        for name in ("time", "request_id", "face", "project_id", "route", "status", "received_bytes", "sent_bytes",
                     "generation", "peer", "worker"):  # fmt: skip
            self.assertEqual(getattr(text, name), getattr(json, name), name)
        self.assertEqual((text.status, text.received_bytes, text.worker), (status, received, "front-2"))

    def test_parts(self) -> None:
        """A request that goes on elsewhere says so in both forms, and nothing else is different."""
        for form in (TEXT, JSON):
            facts = Facts(status=0)
            ended, part = (parse_line(form(facts, NOW, 0.1, 7, moved)[:-1]) for moved in (False, True))
            assert ended is not None
            assert part is not None
            self.assertEqual((ended.moved, part.moved, part.worker, part.status), (False, True, "front-2", 0))
            self.assertEqual(replace(part, moved=False), ended)
        self.assertIsNone(parse_line(TEXT(Facts(), NOW, 0.1, 7)[:-1] + b" gone"))

    def test_older_lines(self) -> None:
        """Lines of before the worker was in them."""
        text = TEXT(Facts(), NOW, 0.1, 7).removesuffix(b" front-2\n")
        json = JSON(Facts(), NOW, 0.1, 7).replace(b',"worker":"front-2"', b"")[:-1]
        for line in (text, json):
            found = parse_line(line)
            assert found is not None
            self.assertEqual((found.peer, found.worker), ("127.0.0.1:5", ""))

    @given(line=st.binary(max_size=300))
    def test_anything_else(self, line: bytes) -> None:
        """Bytes of any kind are None, and no error."""
        self.assertIsNone(parse_line(line))
        self.assertIsNone(parse_line(b"{" + line))

    def test_torn_lines(self) -> None:
        """A line that lost its beginning, and one that is two, is none; of the text form one may lose its end."""
        for form in (TEXT, JSON):
            line = form(Facts(), NOW, 0.1, 7)[:-1]
            for cut in range(1, len(line)):
                self.assertIsNone(parse_line(line[cut:]), line[cut:])
            self.assertIsNone(parse_line(line + line))
            self.assertIsNone(parse_line(line[:-1] + b"\0"))
        for cut in range(1, len(line)):
            self.assertIsNone(parse_line(line[:cut]))

    def test_wrong_values(self) -> None:
        """Fields of other kinds, and a hash that somebody wrote into the log, do not count."""
        line = JSON(Facts(), NOW, 0.1, 7)[:-1]
        for old, new in ((b'"status":200', b'"status":"200"'), (b'"ms":100.0', b'"ms":NaN'), (b'"path"', b'"paths"'),
                         (b"2023-11-14T", b"2023-13-14T")):  # fmt: skip
            self.assertIn(old, line)
            self.assertIsNone(parse_line(line.replace(old, new)))
        forged = parse_line(line[:-1] + b',"hash":"abc"}')
        assert forged is not None
        self.assertEqual(forged.hash, "")
        self.assertIsNone(parse_line(TEXT(Facts(), NOW, 0.1, 7)[:-1].replace(b" 200 ", b" 2_0 ")))

    def test_times(self) -> None:
        """UTC, to the millisecond."""
        self.assertEqual(seconds_of("2023-11-14T22:13:20.250Z"), NOW)
        for bad in ("", "now", "2023-11-14", "2023-11-14T22:13:20.250+01:00", "2023-11-14T22:13:20.250"):
            self.assertIsNone(seconds_of(bad))


def _dashed(raw: bytes) -> str:
    """What the text form gives back: a lone dash is nothing."""
    text = safe_text(raw)
    return "" if text == "-" else text
