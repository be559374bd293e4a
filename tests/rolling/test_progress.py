"""Whose turn it is, when everything stops, and what is saved."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from cloudd.rolling import NodeProgress, Rollout
from cloudd.rolling._progress import (
    AWAY,
    DONE,
    FAILED,
    ORDERED,
    RETURNING,
    SETTLING,
    WAITING,
    named,
)


def rollout(*states: str, changed: bool = True) -> Rollout:
    return Rollout(
        nodes=[NodeProgress(id=str(n), name=f"n{n}", before="", state=s, changed=changed) for n, s in enumerate(states)]
    )


class RolloutTests(SynchronousTestCase):
    def test_batch(self) -> None:
        """Never more than so many at work, in order."""
        found = rollout(DONE, ORDERED, WAITING, WAITING)
        self.assertEqual(named(found.batch(1)), "n1")
        self.assertEqual(named(found.batch(2)), "n1, n2")
        self.assertEqual(named(rollout(SETTLING, SETTLING, WAITING).batch(1)), "n0, n1")
        self.assertEqual(rollout(DONE, AWAY).batch(3), [])

    def test_stop(self) -> None:
        self.assertEqual(rollout(DONE, AWAY, WAITING).stop(), "")
        self.assertIn("n1, n2 are away", rollout(DONE, AWAY, AWAY).stop())
        failed = rollout(DONE, FAILED)
        failed.nodes[1].cause = "it burns"
        self.assertEqual(failed.stop(), "node n1: it burns")

    def test_newest_first(self) -> None:
        found = rollout(DONE, DONE, SETTLING, FAILED, WAITING, AWAY)
        found.turn_back()
        self.assertEqual([node.state for node in found.nodes], [RETURNING] * 4 + [WAITING, AWAY])
        self.assertEqual(named(found.returning(2)), "n3, n2")
        self.assertEqual(named(rollout(RETURNING, ORDERED, RETURNING).returning(1)), "n1, n2")

    def test_who_never_changed_stays(self) -> None:
        found = rollout(DONE, FAILED, changed=False)
        found.turn_back()
        self.assertEqual([node.state for node in found.nodes], [DONE, FAILED])

    def test_saved(self) -> None:
        """What is saved is JSON; fields of later code are left out."""
        found = rollout(DONE, WAITING)
        found.nodes[0].tell("x" * 1000, 3, 4)
        saved = json.loads(json.dumps(found.fields()))
        saved["nodes"][0]["later"] = 1
        self.assertEqual(Rollout.read(saved), found)
        self.assertEqual(Rollout.read({}), Rollout())
