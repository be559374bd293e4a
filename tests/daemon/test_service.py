"""``twistd cloudd``: options, the service, what it says when it is ready."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.application.service import IService
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._ready import notify_systemd, ready_lines
from cloudd.daemon._state_folder import StateFolder
from cloudd.daemon.service import Options, makeService, process_began
from tests.running_cloud import CHECKOUT


class OptionsTests(SynchronousTestCase):
    def test_options(self) -> None:
        """Paths become absolute, since twistd changes its folder; an empty endpoint turns a face off."""
        options = Options()
        options.parseOptions(["--state", "here", "--s3", "", "--api", "tcp:1"])
        self.assertEqual(options.settings.state, Path("here").absolute())
        self.assertEqual((options.settings.listen.s3, options.settings.listen.api), ("", "tcp:1"))
        self.assertEqual(options.settings.listen.metadata, "auto")
        options.parseOptions(["--metadata", "tcp:8775:interface=10.255.0.1"])
        self.assertEqual(options.settings.listen.metadata, "tcp:8775:interface=10.255.0.1")
        self.assertEqual(options.read(), options.settings)

    def test_bad_settings(self) -> None:
        """They are shown as bad options are."""
        error = self.assertRaises(UsageError, Options().parseOptions, ["--config", "/nowhere.toml"])
        self.assertIn("/nowhere.toml: cannot be read", str(error))

    def test_bad_endpoint(self) -> None:
        """An endpoint that cannot be is refused with the other settings, before anything is made."""
        error = self.assertRaises(UsageError, Options().parseOptions, ["--s3", "ssl:443"])
        self.assertEqual(
            str(error),
            "listen.s3: is 'ssl:443'; ssl needs privateKey=PATH and certKey=PATH, or sni=FOLDER with NAME.pem files",
        )

    def test_service(self) -> None:
        """Making the service opens and makes nothing."""
        state = Path(self.mktemp())
        options = Options()
        options.parseOptions(["--state", str(state)])
        self.assertTrue(IService.providedBy(makeService(options)))
        self.assertFalse(state.exists())

    def test_began(self) -> None:
        """The start is that of the process, or what the script says that did the set-up in it."""
        self.assertTrue(0 <= time.time() - process_began({}) < 86_400)
        self.assertEqual(process_began({"CLOUDD_STARTED": "1795187830.25"}), 1795187830.25)

    def test_dropin_is_cheap(self) -> None:
        """Importing the dropin imports nothing of cloudd."""
        code = (
            "import runpy, sys; runpy.run_path('twisted/plugins/cloudd_dropin.py');"
            "print([name for name in sys.modules if name.startswith(('cloudd', 'reload', 'storage'))])"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "[]\n")

    def test_kernel_imports_nothing_swappable(self) -> None:
        """What the anchor and the loader import is kernel only: another copy of swappable code would never change."""
        code = (
            "import sys, cloudd.daemon._anchor, cloudd.daemon._loader as loader\n"
            "with loader.without_reactor(): loader.import_shared(server=False)\n"
            "from cloudd.control import BOUNDARIES\n"
            "found = [name for name in sys.modules if BOUNDARIES.is_swappable(name)]\n"
            "print(sorted(set(found) - {'cloudd', 'cloudd.protocols'}))\n"
            "print('twisted.internet.reactor' in sys.modules)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "[]\nFalse\n")


class ReadyTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """URLs, and the credential files that are there; those that are new are marked."""
        state = StateFolder(Path(self.mktemp()))
        state.create()
        state.clouds_file.touch()
        urls = {"api": "http://h:1", "object": "http://h:2"}
        text = "\n".join(ready_lines(urls, state, [str(state.clouds_file)], 1.25))
        self.assertIn("ready after 1.25 s", text)
        self.assertIn("http://h:1/identity/v3", text)
        self.assertIn("clouds.yaml (new)", text)
        self.assertNotIn("s3.env", text)
        self.assertNotIn("(new)", "\n".join(ready_lines(urls, state, [], 1.25)))
        self.assertIn(f"{urls['api']}/ui", text)

    def test_notify(self) -> None:
        """systemd's socket gets the lines, by path or abstract name; without one nothing happens."""
        folder = tempfile.mkdtemp()
        for address in (f"{folder}/n", "@cloudd-test-notify-" + folder[-8:]):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
                listener.bind("\0" + address[1:] if address.startswith("@") else address)
                listener.settimeout(60)
                notify_systemd({"NOTIFY_SOCKET": address}, "READY=1", "STATUS=x")
                self.assertEqual(listener.recv(100), b"READY=1\nSTATUS=x")
        notify_systemd({}, "READY=1")
        notify_systemd({"NOTIFY_SOCKET": f"{folder}/nobody"}, "READY=1")
        notify_systemd({"NOTIFY_SOCKET": "vsock:1"}, "READY=1")
