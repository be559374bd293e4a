"""The control messages on the wire, and who sends them."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from cloudd.control import Actor, Outcome, Plan, PlanRequest, Progress, actor_of, limit_in, own_actor, plain, to_json


class MessageTests(SynchronousTestCase):
    def test_events_are_told_apart_by_their_type(self) -> None:
        """A line of a stream is a step or the outcome."""
        for event in (Progress(step="stage", text="copying"), Outcome(action="upgrade", result="failed", cause="why")):
            self.assertEqual(msgspec.json.decode(to_json(event), type=Progress | Outcome), event)
            self.assertEqual(plain(event)["type"], type(event).__name__.lower())

    def test_a_later_daemon_may_say_more(self) -> None:
        """Fields that this version does not know are passed over in answers, and refused in requests."""
        data = b'{"tree": "/x", "kind": "nothing", "mood": "good"}'
        self.assertEqual(msgspec.json.decode(data, type=Plan).kind, "nothing")
        with self.assertRaises(msgspec.ValidationError):
            msgspec.json.decode(b'{"tree": "/x", "force": true}', type=PlanRequest)

    def test_limits(self) -> None:
        """A limit is a whole number in ASCII digits, from 1 to the greatest, however it is written."""
        for text, number in (("1", 1), ("20", 20), ("000020", 20), ("1000", 1000)):
            self.assertEqual(limit_in(text, 1000), number)
        for text in ("", "0", "-1", "+1", "1_0", " 1", "1001", "0000000019999", "1" * 5000, "\u0661", "\u00b2", "x"):
            error = self.assertRaises(ValueError, limit_in, text, 1000)
            self.assertEqual(str(error), "limit is a number from 1 to 1000")

    def test_actors_have_names(self) -> None:
        """A user that the host does not know is named by number."""
        gone = 2**22 + 1  # more than the kernel gives
        self.assertEqual(actor_of(0, gone), Actor(uid=0, pid=gone, user="root"))
        self.assertIn(Path("/proc/self/comm").read_text().strip(), own_actor().origin)
        self.assertEqual(actor_of(3_999_999, 1).user, "3999999")
        self.assertEqual((own_actor().uid, own_actor().pid), (os.geteuid(), os.getpid()))
