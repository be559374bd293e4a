"""What every client walk shares: run a command as a user would, make files, compare bytes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.running_cloud import CLIENTS, RunningCloud, running_cloud

COMMAND_TIMEOUT_S = 120

#: Object names that clients and servers like to get wrong.
AWKWARD_NAMES = (
    "plain.txt",
    "with space.txt",
    "plus+sign.txt",
    "per%cent%20.txt",
    "grüße-日本語.txt",
    "folder/deep er/ü+%.bin",
    "quote'and\"double.txt",
    "amp&eq=semi;.txt",
)

SIZES = (0, 1, 1023, 65_536, 1_048_577, 12_000_000)


def patterned(size: int, seed: str) -> Iterable[bytes]:
    """``size`` bytes that no two seeds share, in blocks; cheap and not compressible by repetition of blocks."""
    block = b"".join(hashlib.sha256(f"{seed}/{n}".encode()).digest() for n in range(2048))
    counter = 0
    while size > 0:
        head = b"%016d" % counter
        piece = (head + block)[: min(size, len(block))]
        yield piece
        size -= len(piece)
        counter += 1


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ClientWalk(SynchronousTestCase):
    """One client against the shared daemon.  ``program`` is what must be installed."""

    program = ""
    cloud_name = "cloudd"

    def setUp(self) -> None:
        if self.program and not self.find(self.program):
            raise SkipTest(f"{self.program} is not installed: script/setup test installs it as root")
        self.cloud: RunningCloud = running_cloud()
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        self.environment = self.cloud.environment(self.cloud_name)

    def find(self, program: str) -> str | None:
        return shutil.which(program, path=f"{CLIENTS}:/usr/local/bin:/usr/bin:/bin")

    def attempt(
        self, *command: str, stdin: bytes | None = None, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a client to its end, whatever that is."""
        return subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def runs(self, *command: str, stdin: bytes | None = None, environment: dict[str, str] | None = None) -> str:
        """Run a client that must succeed; its standard output."""
        result = self.attempt(*command, stdin=stdin, environment=environment)
        if result.returncode != 0:
            self.fail(
                f"{' '.join(command)} ended with {result.returncode}\n"
                f"{result.stdout.decode(errors='replace')[-3000:]}{result.stderr.decode(errors='replace')[-3000:]}\n"
                f"daemon log:\n{self.cloud.log()[-3000:]}"
            )
        return result.stdout.decode()

    def refused(self, *command: str, environment: dict[str, str] | None = None) -> str:
        """Run a client that must fail; everything it said."""
        result = self.attempt(*command, environment=environment)
        self.assertNotEqual(result.returncode, 0, f"{' '.join(command)} succeeded")
        return (result.stdout + result.stderr).decode(errors="replace")

    def file(self, name: str, size: int) -> Path:
        """A file below the test's folder with its own content."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            for piece in patterned(size, name):
                out.write(piece)
        return path

    def tree(self, folder: str, sizes: Iterable[int] = SIZES) -> Path:
        """A folder with awkward names and all sizes."""
        sizes = tuple(sizes)
        for number, name in enumerate(AWKWARD_NAMES):
            self.file(f"{folder}/{name}", sizes[number % len(sizes)])
        return self.folder / folder

    def assert_same_tree(self, left: Path, right: Path) -> None:
        """Both folders hold the same names with the same bytes."""

        def content(top: Path) -> dict[str, str]:
            return {str(path.relative_to(top)): digest(path) for path in top.rglob("*") if path.is_file()}

        self.assertEqual(content(left), content(right))

    def assert_same_file(self, left: Path, right: Path) -> None:
        self.assertEqual((left.stat().st_size, digest(left)), (right.stat().st_size, digest(right)))
