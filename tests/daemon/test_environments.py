"""Upgrades to a wheel and into another virtual environment, over real processes."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

from cloudd.control import BOUNDARIES
from reload import CodeTree
from tests.daemon.test_handover import KERNEL_FILE, HandOverCase
from tests.reload.wheels import write_wheel

OURS = {"cloudd", "net", "reload", "storage"}


def make_environment(prefix: Path, tree: Path) -> Path:
    """
    A virtual environment with the packages of the one that runs the tests, and the code of a tree.

    :return: its site-packages
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True, timeout=60)
    packages = next((prefix / "lib").glob("python3*/site-packages"))
    for entry in Path(site.getsitepackages()[0]).iterdir():
        editable = entry.name.startswith(("__editable__", "cloudd-")) or entry.suffix == ".pth"
        if entry.name in OURS or editable or entry.name.startswith("."):
            continue
        # Links of files: as quick as no copy, and nothing that leads out of the environment.
        if entry.is_dir():
            shutil.copytree(entry, packages / entry.name, copy_function=os.link, symlinks=True)
        else:
            os.link(entry, packages / entry.name)
    for name in OURS:
        shutil.copytree(tree / name, packages / name)
    return packages


class EnvironmentTests(HandOverCase):
    def test_there_and_back(self) -> None:
        """Another version of a package needs new processes, which run in its interpreter, the anchor too; and back."""
        prefix = self.cloud.folder / "other"
        packages = make_environment(prefix, self.cloud.tree)
        (info,) = packages.glob("zope_interface-*.dist-info")
        info.rename(packages / "zope_interface-99.0.dist-info")
        self.cloud.stop()
        self.cloud.settings_file.write_text(f'{self.settings}trees = ["{prefix}"]\n')
        self.cloud.start()
        for connection in self.connections:
            connection.close()
        self.ask_all()
        self.sockets = [connection.sock for connection in self.connections]

        (plan,) = self.cloud.control("POST", "plan", {"tree": str(prefix)})
        self.assertEqual(plan["kind"], "hand-over", plan)
        self.assertRegex(plan["cause"], r"zope.interface \S+ -> 99\.0")
        outcome = self.cloud.control("POST", "upgrade", {"tree": str(prefix)})[-1]
        self.assertEqual((outcome["result"], outcome["moved"]), ("committed", 20), outcome)
        self.assertAlive("one")
        assert self.cloud.process is not None
        pids = [self.cloud.process.pid, *self.cloud.worker_pids().values()]
        self.cloud.wait(lambda: all(self.prefix(pid) == str(prefix) for pid in pids), "all run there, the anchor too")
        self.assertAlive("one")

        outcome = self.cloud.control("POST", "rollback")[-1]
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", "hand-over"), outcome)
        self.assertAlive("one")
        pids = [self.cloud.process.pid, *self.cloud.worker_pids().values()]
        self.cloud.wait(lambda: all(self.prefix(pid) == os.path.realpath(sys.prefix) for pid in pids), "all are back")
        self.assertNothingLeft()

    def prefix(self, pid: int) -> str:
        """The environment of a process, by the files that it has mapped."""
        maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
        files = {line.split(maxsplit=5)[5] for line in maps if "site-packages/" in line}
        (prefix,) = {name.partition("/lib/python")[0] for name in files} or {""}
        return prefix


class WheelTests(HandOverCase):
    def setUp(self) -> None:
        super().setUp()
        self.wheels = self.cloud.folder / "wheels"
        self.wheels.mkdir()
        self.cloud.stop()
        self.cloud.settings_file.write_text(f'{self.settings}trees = ["{self.wheels}"]\n')
        self.cloud.start()
        for connection in self.connections:
            connection.close()
        self.ask_all()
        self.sockets = [connection.sock for connection in self.connections]

    def wheel(self, version: int, word: str, kernel: bytes = b"") -> Path:
        """The running tree with another word, and a kernel module that ends otherwise, as a wheel."""
        files = CodeTree.scan(self.cloud.tree, BOUNDARIES).files
        contents: dict[str, str | bytes] = {name: (self.cloud.tree / name).read_bytes() for name in files}
        contents["cloudd/words.py"] = f"WORD = {word!r}\n"
        contents[KERNEL_FILE] = (self.cloud.tree / KERNEL_FILE).read_bytes() + kernel
        name = f"cloudd-{version}"
        return write_wheel(self.wheels / f"{name}-py3-none-any.whl", contents, facts=f"{name}.dist-info")

    def test_swap_and_hand_over(self) -> None:
        """A wheel of other handlers is swapped in, one of another kernel by new processes; the files may go then."""
        for version, word, kernel, how in ((2, "two", b"", "swap"), (3, "three", b"# new\n", "hand-over")):
            wheel = self.wheel(version, word, kernel)
            outcome = self.cloud.control("POST", "upgrade", {"tree": str(wheel)})[-1]
            self.assertEqual((outcome["result"], outcome["how"]), ("committed", how), outcome)
            self.assertAlive(word)
            wheel.unlink()
        outcome = self.cloud.control("POST", "rollback")[-1]
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", "hand-over"), outcome)
        self.assertAlive("two")
        self.assertNothingLeft()

    def test_a_damaged_wheel(self) -> None:
        """It is refused with the file that does not fit, and all goes on."""
        wheel = self.wheel(2, "two")
        data = wheel.read_bytes()
        name = b"cloudd/application.py"
        damaged = data.index(name) + len(name) + 100  # in what it holds: a date before it may be any
        wheel.write_bytes(data[:damaged] + bytes([data[damaged] ^ 1]) + data[damaged + 1 :])
        outcome = self.cloud.control("POST", "upgrade", {"tree": str(wheel)})[-1]
        self.assertEqual(outcome["result"], "refused", outcome)
        self.assertIn(str(wheel), outcome["cause"])
        self.assertAlive("one")
