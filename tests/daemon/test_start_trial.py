"""Real daemons started from a tree that does not work: the committed code serves in its place, and says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .small_cloud import SmallCloud


class StartTrialTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = SmallCloud("[workers]\nfront = 1\nagent = false\n")
        self.addCleanup(self.cloud.remove)
        self.words = self.cloud.tree / "cloudd" / "words.py"

    def record(self) -> Any:
        return json.loads((self.cloud.state / "code" / "committed.json").read_text())

    def restart(self) -> None:
        self.cloud.stop()
        self.cloud.start()

    def assertServes(self, word: str, note: str) -> None:
        """It answers with that code, its health is good, and the part ``code`` has the note."""
        self.assertEqual(self.cloud.get("/")[1].split()[0], word)
        health = self.cloud.health()
        self.assertEqual(health["status"], "ok", health)
        (self.assertIn if note else self.assertEqual)(note, health["parts"]["code"]["cause"])

    def test_code_that_an_upgrade_refused_to_load(self) -> None:
        """A module that is missing: the upgrade fails, and the next start, after a crash too, boots what ran."""
        self.cloud.start()
        before = self.record()
        self.words.write_text("import nowhere\n")
        self.assertEqual(self.cloud.upgrade()["result"], "failed")
        assert self.cloud.process is not None
        self.cloud.process.kill()
        self.cloud.process.wait()
        self.cloud.start()
        self.assertServes("one", "No module named 'nowhere'")
        said = self.cloud.words("^cloudd: the start tree .* is not booted: it failed in an upgrade")
        self.assertEqual(len(said), 1, self.cloud.log())
        self.assertEqual({**self.record(), "held_back": []}, before)
        self.assertIn("a restart alone", self.cloud.control("GET", "audit")[0]["entries"][-1]["cause"])

    def test_new_code_that_fails_at_the_start(self) -> None:
        """Missing modules, a failing preparation, a failing self-check, a kernel that cannot be imported."""
        self.cloud.start()
        before = self.record()
        worker = self.cloud.tree / "cloudd" / "daemon" / "_worker.py"
        kernel = worker.read_text()
        for words, daemon, cause in (
            ("import nowhere\n", kernel, "No module named 'nowhere'"),
            ("WORD = 'unprepared'\n", kernel, "cannot prepare"),
            ("WORD = 'bad'\n", kernel, "the word is bad"),
            ("WORD = (\n", kernel, "does not compile"),
            ("WORD = 'two'\n", "import nowhere\n", "the loader ended"),
        ):
            self.words.write_text(words)
            worker.write_text(daemon)
            self.restart()
            self.assertServes("one", cause)
            self.assertTrue(self.cloud.words(f"^cloudd: the start tree .* cannot be booted: .*{cause}"), cause)
            self.assertEqual(self.record(), before, cause)
            failed, started = self.cloud.control("GET", "audit")[0]["entries"][-2:]
            self.assertEqual((failed["action"], failed["result"]), ("start", "failed"))
            self.assertIn(cause, failed["cause"])
            self.assertEqual((started["result"], started["new_hash"]), ("committed", before["hash"]))
        # The anchor came from a tree with another kernel: it becomes what its workers run, and the note stays.
        assert self.cloud.process is not None
        environment = Path(f"/proc/{self.cloud.process.pid}/environ")
        self.cloud.wait(lambda: before["hash"].encode() in environment.read_bytes(), "the anchor's next self")
        self.assertServes("one", "the loader ended")
        self.restart_mended(kernel, before)

    def restart_mended(self, kernel: str, before: Any) -> None:
        """Mended code is loaded by an upgrade, which ends the note, and the way back leads to good code."""
        (self.cloud.tree / "cloudd" / "daemon" / "_worker.py").write_text(kernel)
        self.cloud.say("three")
        self.assertEqual(self.cloud.upgrade()["result"], "committed")
        self.assertServes("three", "")
        self.assertEqual(self.record()["previous"], before["hash"])

    def test_a_first_start_that_fails(self) -> None:
        """Without committed code the start fails, also when the self-check does, and nothing is written down."""
        self.cloud.say("bad")
        self.assertEqual(self.cloud.spawn().wait(90), 1)
        self.assertIn("cloudd cannot start: the host cannot be prepared", self.cloud.log())
        self.assertIn("the word is bad", self.cloud.log())
        self.assertFalse((self.cloud.state / "code" / "committed.json").exists())
        self.cloud.say("one")
        self.cloud.start()
        self.assertServes("one", "")

    def test_neither_works(self) -> None:
        """When the committed code fails too, it was not the code: both causes are told, and nobody is blamed."""
        self.cloud.start()
        self.cloud.stop()
        before = self.record()
        self.cloud.say("two")
        database = self.cloud.state / "objects.sqlite"
        database.write_bytes(b"no database" * 1_000)
        self.assertEqual(self.cloud.spawn().wait(90), 1)
        self.assertIn("so it was with the start tree before", self.cloud.log())
        self.assertEqual(self.record(), before)
