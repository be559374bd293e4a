"""Forms of time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.rest import Fault, naive, parse_time, zulu


class TimeTests(SynchronousTestCase):
    """``zulu``, ``naive`` and ``parse_time``."""

    def test_forms(self) -> None:
        """Microseconds are always there, the ``Z`` only where the API has it."""
        self.assertEqual(zulu(0), "1970-01-01T00:00:00.000000Z")
        self.assertEqual(naive(1_795_132_800_000_001), "2026-11-20T00:00:00.000001")

    @given(st.integers(0, 250_000_000_000_000_000))
    def test_round_trip(self, time_us: int) -> None:
        """What we write we read."""
        self.assertEqual(parse_time(zulu(time_us), "x"), time_us)
        self.assertEqual(parse_time(naive(time_us), "x"), time_us)

    def test_zones(self) -> None:
        """A zone is taken into account."""
        self.assertEqual(parse_time("1970-01-01T02:00:00+02:00", "x"), 0)
        self.assertEqual(parse_time("1970-01-01T00:00:01", "x"), 1_000_000)

    def test_refused(self) -> None:
        """Anything else, with the member's name."""
        for text in ("", "tomorrow", "2026-13-01T00:00:00", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00+23:00"):
            fault = self.assertRaises(Fault, parse_time, text, "application_credential.expires_at")
            self.assertEqual(fault.status, 400)
            self.assertIn("application_credential.expires_at", fault.message)
