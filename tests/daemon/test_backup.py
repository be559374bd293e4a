"""``cloudctl backup`` and ``restore`` on state folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.cli._commands import main as cloudctl
from cloudd.daemon._backup import main
from cloudd.daemon._state_folder import StateFolder
from tests.database.choice import new_database
from tests.database.test_backup import all_rows
from tests.identity.house import House
from tests.running_cloud import CHECKOUT


class ProgramTests(TestCase):
    async def built(self) -> tuple[Path, list[str]]:
        """A state folder with a cloud in it, and what says where it is."""
        house = await House.built(self)
        config = Path(self.mktemp())
        if isinstance(house.place, str):
            config.write_text(f'[database]\nurl = "{house.place}"\n')
        else:
            config.write_text("")
        self.place = house.place
        return house.folder, ["--state", str(house.folder), "--config", str(config)]

    async def test_to_a_server_and_back(self) -> None:
        """A cloud that is moved to PostgreSQL has the same rows and keys there; so has the one that comes back."""
        folder, where = await self.built()
        file = Path(self.mktemp())
        self.assertEqual(main(["backup", str(file), *where]), 0)
        url = str(new_database(self, "postgresql", migrated=False))
        config = Path(self.mktemp())
        config.write_text(f'[database]\nurl = "{url}"\n')
        moved = ["--state", str(folder), "--config", str(config)]
        self.assertEqual(main(["restore", str(file), *moved]), 1)  # the keys are there
        self.assertEqual(main(["restore", str(file), *moved, "--yes"]), 0)
        self.assertEqual(all_rows(url), all_rows(self.place))
        again, fresh = Path(self.mktemp()), Path(self.mktemp())
        self.assertEqual(main(["backup", str(again), *moved]), 0)
        self.assertEqual(main(["restore", str(again), "--state", str(fresh)]), 0)
        self.assertEqual(all_rows(StateFolder(fresh.absolute()).control_database), all_rows(self.place))
        key = Path("secrets") / "tokens" / "1"
        self.assertEqual((fresh / key).read_bytes(), (folder / key).read_bytes())

    async def test_while_a_daemon_runs(self) -> None:
        """A backup is made beside it; a restore is refused with its process, and changes nothing."""
        folder, where = await self.built()
        file = Path(self.mktemp())
        program = (
            "import sys; from pathlib import Path; from cloudd.daemon._state_folder import ProcessLock\n"
            "ProcessLock(Path(sys.argv[1]), shared=True).take(); print('taken', flush=True); sys.stdin.read()"
        )
        words = [sys.executable, "-c", program, str((folder / "workers.lock").absolute())]
        daemon = subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert daemon.stdout is not None
        self.assertEqual(daemon.stdout.readline(), "taken\n")
        self.assertEqual(main(["backup", str(file), *where]), 0)
        before = all_rows(self.place)
        self.assertEqual(main(["restore", str(file), *where, "--yes"]), 1)
        self.assertEqual(all_rows(self.place), before)
        daemon.communicate("")
        self.assertEqual(main(["restore", str(file), *where, "--yes"]), 0)

    async def test_refusals(self) -> None:
        """No file, no folder, no settings: each is said, and nothing is made."""
        _, where = await self.built()
        for words in (
            ["restore", "/nonexistent/file", *where],
            ["backup", "/nonexistent/file", *where],
            ["backup", str(Path(self.mktemp())), "--state", self.mktemp()],
            ["backup", str(Path(self.mktemp())), "--state", where[1], "--config", "/nonexistent/file"],
        ):
            self.assertEqual(main(words), 1, words)


class CommandTests(SynchronousTestCase):
    def test_what_is_run(self) -> None:
        """The program gets absolute paths, and its exit code is that of the command."""
        ran: list[list[str]] = []

        class Done:
            returncode = 1

        def run(words: list[str], *, check: bool) -> Done:
            ran.append(words[1:])
            return Done()

        self.patch(subprocess, "run", run)
        result = CliRunner().invoke(cloudctl, ["--state", "/s", "restore", "/f", "--config", "/c", "--yes"])
        self.assertEqual(result.exit_code, 1)
        wanted = ["-m", "cloudd.daemon._backup", "restore", "/f", "--state", "/s", "--config", "/c", "--yes"]
        self.assertEqual(ran, [wanted])
