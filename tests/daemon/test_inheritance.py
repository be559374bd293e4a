"""What an anchor leaves to its next self."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._inheritance import (
    Inheritance,
    Launch,
    NoInheritance,
    SlotPast,
    keep_from_exec,
    leave,
    take,
    try_next,
)
from cloudd.daemon.service import Options
from tests.running_cloud import CHECKOUT


def inheritance(listener: int) -> Inheritance:
    return Inheritance(
        arguments=["--state=/s"],
        pidfile="/run/cloudd.pid",
        log_file="",
        began=12.5,
        start_tree="/srv/cloudd",
        listeners={"api": listener},
        tls={"s3": [listener, listener]},
        control=listener,
        lock=listener,
        last_number=7,
        slots={"front-1": SlotPast(2, 1)},
        swaps={"cloudd_swaps_total/committed": 3.0},
    )


class InheritanceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.listener, other = os.pipe()
        self.addCleanup(os.close, self.listener)
        os.close(other)

    def test_left_and_taken(self) -> None:
        """Equal on the other side; its descriptors pass an exec until they are kept from it."""
        left = inheritance(self.listener)
        file = leave(left)
        self.assertTrue(os.get_inheritable(file))
        self.assertTrue(os.get_inheritable(self.listener))
        self.assertEqual(take(file), left)
        self.assertEqual(take(file), left)  # also by the old code, after new code that failed
        keep_from_exec(left, file)
        self.assertFalse(os.get_inheritable(self.listener))
        self.assertRaises(OSError, os.fstat, file)

    def test_damaged(self) -> None:
        """What is no inheritance, or of a later version, is refused."""
        for text in (b"{}", b"", b"\xff"):
            file = os.memfd_create("broken")
            self.addCleanup(os.close, file)
            os.pwrite(file, text, 0)
            self.assertRaises(NoInheritance, take, file)
        left = inheritance(self.listener)
        left.format = 2
        file = leave(left)
        self.addCleanup(os.close, file)
        error = self.assertRaises(NoInheritance, take, file)
        self.assertIn("format 2", str(error))

    def test_next_code_is_tried(self) -> None:
        """This checkout's anchor can be imported; a folder without one cannot, and the last words say why."""
        self.assertEqual(try_next(sys.executable, CHECKOUT, os.environ), "")
        environment = {"PATH": os.environ["PATH"]}
        empty = Path(self.mktemp())
        (empty / "cloudd").mkdir(parents=True)
        (empty / "cloudd" / "__init__.py").touch()
        self.assertIn("No module named 'cloudd.daemon'", try_next(sys.executable, empty, environment))
        self.assertIn("cannot be run", try_next("/nowhere/python", empty, environment))


class LaunchTests(SynchronousTestCase):
    def test_arguments(self) -> None:
        """Those that were given, with absolute paths; read again they mean the same."""
        options = Options()
        options.parseOptions(["--state", "s", "--api", "tcp:1", "--s3", ""])
        state = str(Path("s").absolute())
        self.assertEqual(options.launch, Launch((f"--state={state}", "--api=tcp:1", "--s3=")))
        again = Options()
        again.parseOptions(list(options.launch.arguments))
        self.assertEqual(again.settings, options.settings)
