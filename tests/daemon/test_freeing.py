"""The pace at which old generations are freed; what is freed, and what is not, is in ``test_generations``."""

from __future__ import annotations

from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._freeing import Freeing


class PaceTests(SynchronousTestCase):
    def test_steps_leave_time_to_others(self) -> None:
        """The longer a step took, the longer is the pause after it; not for ever where it had no processor."""
        clock = Clock()
        freeing = Freeing(clock, list, step_pause_s=0.002, step_rests=3.0)
        for took, pause in ((0.0001, 0.002), (0.003, 0.009), (1.0, 0.01)):
            with mock.patch("cloudd.daemon._freeing.time.perf_counter", side_effect=[5.0, 5.0 + took]):
                freeing._step(iter([None, None]), self.fail)
            (call,) = clock.getDelayedCalls()
            self.assertAlmostEqual(call.getTime() - clock.seconds(), pause)
            call.cancel()
