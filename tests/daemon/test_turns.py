"""Workers have short turns on the processor, and so have the threads that they start."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon import _turns
from cloudd.daemon._turns import TURN_S, take_short_turns, turn_s


def in_a_thread(function: Callable[[], object]) -> object:
    """What it gives; turns belong to threads, and those of the tests stay as they are."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class TurnsTests(SynchronousTestCase):
    def test_kernels_that_know_them(self) -> None:
        """Read back as it was asked for, and by a thread of that thread; on older kernels nothing changes."""

        def take() -> tuple[bool, float | None, object]:
            return take_short_turns(), turn_s(), in_a_thread(turn_s)

        before = turn_s()
        wanted = TURN_S if before is not None else None
        self.assertEqual(in_a_thread(take), (True, wanted, wanted))
        self.assertEqual(turn_s(), before)

    def test_the_priority_stays(self) -> None:
        """Whoever was made nice stays so."""

        def take() -> int:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 7)
            take_short_turns()
            return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

        self.assertEqual(in_a_thread(take), 7)

    def test_another_policy_stays(self) -> None:
        """Whoever chose another policy keeps it, and its turns."""

        def take() -> tuple[bool, int]:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            return take_short_turns(), os.sched_getscheduler(0)

        self.assertEqual(in_a_thread(take), (False, os.SCHED_BATCH))

    def test_another_machine(self) -> None:
        """Whose numbers of system calls are not known: nothing is asked."""
        self.patch(platform, "machine", lambda: "pdp11")
        self.assertEqual((take_short_turns(), turn_s()), (False, None))

    def test_a_kernel_that_refuses(self) -> None:
        """No such call: it says so and nothing else."""
        self.patch(_turns, "_CALLS", {platform.machine(): (-1, -1)})
        self.assertEqual((take_short_turns(), turn_s()), (False, None))

    def test_the_form_is_the_kernels(self) -> None:
        """As long as ``struct sched_attr`` was at first."""
        self.assertEqual(ctypes.sizeof(_turns._Attributes), _turns._SIZE)
