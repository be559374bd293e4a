"""Health of the host from what its workers say."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.daemon._checkup import check_databases
from cloudd.daemon._health import WorkerFacts, disk_part, merge_health, ok_part

GOOD = [{"part": "objects", "ok": True, "cause": ""}]
BAD = [{"part": "objects", "ok": False, "cause": "the disk is gone"}]


def facts(name: str, parts: list[dict[str, object]] | None, **more: object) -> WorkerFacts:
    known = {"is_ready": True, "loops": False, "cause": "", **more}
    return WorkerFacts(name, parts=parts, **known)  # type: ignore[arg-type]


class MergeTests(SynchronousTestCase):
    def test_all_well(self) -> None:
        """Everybody well: ok, with a part for each worker and each part they speak of."""
        health = merge_health([facts("front-1", GOOD), facts("front-2", GOOD)], {"anchor": ok_part()})
        self.assertEqual(health["status"], "ok")
        self.assertEqual(set(health["parts"]), {"anchor", "objects", "worker front-1", "worker front-2"})

    def test_one_says_no(self) -> None:
        """One worker is enough, whatever the order, and the cause names it."""
        for workers in ([facts("a", GOOD), facts("b", BAD)], [facts("b", BAD), facts("a", GOOD)]):
            health = merge_health(workers, {})
            self.assertEqual(health["status"], "failing")
            self.assertEqual(health["parts"]["objects"]["cause"], "the disk is gone (worker b)")

    def test_what_is_noted(self) -> None:
        """A part that does well may have something to tell; a failure goes first."""
        noted = [{"part": "objects", "ok": True, "cause": "3 are old"}]
        health = merge_health([facts("a", GOOD), facts("b", noted), facts("c", GOOD)], {})
        self.assertEqual(health["status"], "ok")
        self.assertEqual(health["parts"]["objects"], {"status": "ok", "cause": "3 are old"})
        for workers in ([facts("a", noted), facts("b", BAD)], [facts("b", BAD), facts("a", noted)]):
            part = merge_health(workers, {})["parts"]["objects"]
            self.assertEqual(part, {"status": "failing", "cause": "the disk is gone (worker b)"})

    def test_workers(self) -> None:
        """Not ready, looping and silent workers are failing, each in its words."""
        for worker, words in (
            (facts("w", None, is_ready=False), "starting"),
            (
                facts("w", None, is_ready=False, cause="was killed by SIGKILL"),
                "starting again: it was killed by SIGKILL",
            ),
            (facts("w", None, is_ready=False, loops=True, cause="ended with status 9"), "again and again"),
            (facts("w", GOOD, loops=True, cause="ended with status 9"), "again and again"),
            (facts("w", None, silence="no answer within 2 s"), "does not answer (no answer within 2 s)"),
        ):
            health = merge_health([worker], {})
            self.assertEqual(health["status"], "failing")
            self.assertIn(words, health["parts"]["worker w"]["cause"])

    def test_disk(self) -> None:
        """Below the reserve writes are refused, and health says so."""
        self.assertEqual(disk_part(100 << 20, 64 << 20, "/s"), ok_part())
        self.assertIn("10 MiB are free below /s", disk_part(10 << 20, 64 << 20, "/s")["cause"])


class FakeDatabase:
    """Answers a read with what it was given."""

    def __init__(self, answer: Deferred[None], damage: str = "", away: str = "") -> None:
        self.answer = answer
        self.damage = damage
        self.away = away

    def read(self, function: object, /, *args: object, **kwargs: object) -> Deferred[None]:
        return self.answer


class CheckupTests(TestCase):
    def test_databases(self) -> None:
        """Well, broken and silent databases are told apart, and the silent one costs no more than its patience."""
        clock = Clock()
        databases = {
            "good": FakeDatabase(succeed(None)),
            "broken": FakeDatabase(fail(OSError("I/O error"))),
            "silent": FakeDatabase(Deferred()),
            "damaged": FakeDatabase(succeed(None), "the file is damaged: restore it"),
            "away": FakeDatabase(Deferred(), away="PostgreSQL at db1 cannot be used: connection refused"),
        }
        asked = Deferred.fromCoroutine(check_databases(databases, clock))  # type: ignore[arg-type]
        self.assertNoResult(asked)
        clock.advance(2)
        good, broken, silent, damaged, away = self.successResultOf(asked)
        self.assertTrue(good.ok)
        self.assertIn("I/O error", broken.cause)
        self.assertIn("no answer within", silent.cause)
        self.assertFalse(damaged.ok)
        self.assertEqual(damaged.cause, "the file is damaged: restore it")
        self.assertEqual(away.cause, "PostgreSQL at db1 cannot be used: connection refused")
