"""What an anchor leaves to its next self."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._inheritance import (
    Inheritance,
    Launch,
    NoInheritance,
    SlotPast,
    become,
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


class BecomeTests(SynchronousTestCase):
    """The exec itself, into a very small anchor."""

    def become(self, prepare: str) -> subprocess.CompletedProcess[str]:
        """Run what becomes an anchor whose ``prepare`` is this."""
        tree = Path(self.mktemp()).absolute()
        package = tree / "cloudd" / "daemon"
        package.mkdir(parents=True)
        for folder in (package, package.parent):
            (folder / "__init__.py").touch()
        (package / "_next_anchor.py").write_text(prepare)
        program = (
            "import os, sys; from pathlib import Path; from cloudd.daemon._inheritance import become, hold_signals;"
            "hold_signals(); become(0, sys.executable, Path(sys.argv[1]), Path(sys.argv[1]), os.environ)"
        )
        return subprocess.run(
            [sys.executable, "-c", program, str(tree)],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_stopped_meanwhile(self) -> None:
        """A signal that comes while the new anchor starts ends it in order, with its workers; not half-way."""
        for name in ("SIGTERM", "SIGINT"):
            done = self.become(
                "import os, signal\n"
                "from twisted.internet import reactor\n"
                "def prepare(descriptor, has_way_back):\n"
                f"    os.kill(os.getpid(), signal.{name})\n"
                "    reactor.addSystemEventTrigger('before', 'shutdown', print, 'ended in order')\n"
                "    return reactor.run\n"
            )
            self.assertEqual((done.returncode, done.stdout), (0, "ended in order\n"), done.stderr)

    def test_stopped_while_it_goes_back(self) -> None:
        """The same when the new code does not start and the old one is gone back to."""
        done = self.become(
            "import os, signal\n"
            "from twisted.internet import reactor\n"
            "def prepare(descriptor, has_way_back):\n"
            "    if has_way_back:\n"
            "        os.kill(os.getpid(), signal.SIGTERM)\n"
            "        raise ValueError('bad code')\n"
            "    reactor.addSystemEventTrigger('before', 'shutdown', print, 'ended in order')\n"
            "    return reactor.run\n"
        )
        self.assertEqual((done.returncode, done.stdout), (0, "ended in order\n"), done.stderr)
        self.assertIn("bad code", done.stderr)

    def test_no_such_interpreter(self) -> None:
        """An exec that fails leaves signals and the priority as they were."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, []), os.getpriority(os.PRIO_PROCESS, 0)
        self.assertRaises(OSError, become, 0, "/no/python", Path("/"), Path("/"), {})
        after = signal.pthread_sigmask(signal.SIG_BLOCK, []), os.getpriority(os.PRIO_PROCESS, 0)
        self.assertEqual(after, before)
