# -*- test-case-name: tests.reload.test_environment -*-
"""
What a Python environment holds, told without running anything of it.

Two environments with equal fingerprints run the same interpreter with the same versions of the same distributions; code
of one may be loaded into a process of the other.  If they differ, only a new process of the other interpreter
can run it.  A virtual environment tells all of this by its ``pyvenv.cfg`` and by the names of the ``.dist-info``
folders beside its packages.

``trusted_paths`` lists what decides which code its interpreter runs: whoever can write one of these can do what the
process that is started from it can.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from attrs import frozen

from ._tree import TreeError, read_regular

CONFIGURATION = "pyvenv.cfg"
MAX_LINKS = 40
_VERSION = re.compile(r"(\d+)\.(\d+)(\.\d+)?")
_DISTRIBUTION = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-[^/]*)?\.(dist|egg)-info")


@frozen
class Environment:
    """
    :param python: what new processes are started with: by this very path, since Python finds its environment by it
    :param executable: the file that runs then, behind all links
    :param version: of Python, for example ``3.11.7``
    :param site_packages: where its packages lie
    :param distributions: normalized names and versions of what is installed, sorted
    """

    python: Path
    executable: Path
    version: str
    site_packages: Path
    distributions: tuple[tuple[str, str], ...]

    @property
    def hash(self) -> str:
        """The fingerprint, 64 hex digits; it does not depend on where the environment lies."""
        lines = [f"python {self.version} {self.executable}", *(" ".join(facts) for facts in self.distributions)]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def differences(self, newer: Environment) -> list[str]:
        """What is another one in ``newer``, a line each, for whoever reads a plan; empty when the hashes are equal."""
        lines = []
        if (self.version, self.executable) != (newer.version, newer.executable):
            lines.append(
                f"Python {self.version} ({self.executable}) -> {newer.version} ({newer.executable})",
            )
        old, new = dict(self.distributions), dict(newer.distributions)
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                lines.append(f"{name} {old.get(name, 'absent')} -> {new.get(name, 'absent')}")
        return lines

    def trusted_paths(self) -> Iterator[Path]:
        """
        Files and folders that decide which code runs when ``python`` is started; what lies above them is not named.

        :raises TreeError: something there cannot be judged: a link among the packages, a ``.pth`` file that leads out
        """
        prefix = self.python.parent.parent
        yield from (prefix, prefix / CONFIGURATION, self.python.parent)
        yield from _links(self.python)
        yield self.executable
        home = Path(_read_configuration(prefix)["home"])
        yield home
        for folder in ("lib", "lib64"):
            if (library := home.parent / folder / _library(self.version)).is_dir():
                yield library
        yield from _packages(self.site_packages)


def is_environment(path: Path) -> bool:
    """Whether a virtual environment lies there."""
    return (path / CONFIGURATION).is_file()


def environment_of(python: Path, besides: Collection[str] = ()) -> Environment:
    """
    Look at the virtual environment that an interpreter belongs to.  Blocks; runs nothing.

    :param python: ``PREFIX/bin/python``, or ``PREFIX`` itself
    :param besides: distributions that do not count, such as the one whose code is compared file by file
    :raises TreeError: there is no such environment, or not all that it would import can be seen
    """
    prefix = python if is_environment(python) else python.parent.parent
    prefix = prefix.resolve()
    facts = _read_configuration(prefix)
    found = _VERSION.match(facts.get("version_info") or facts.get("version", ""))
    if found is None or not Path(facts.get("home", "")).is_absolute():
        raise TreeError(prefix / CONFIGURATION, "does not tell the version of Python, or where it lies")
    if facts.get("include-system-site-packages", "false").lower() != "false":
        cause = "takes packages from outside (include-system-site-packages), which no upgrade can look through"
        raise TreeError(prefix / CONFIGURATION, cause)
    interpreter = _interpreter(prefix)
    site_packages = prefix / "lib" / _library(found[0]) / "site-packages"
    ignored = {_normalized(name) for name in besides}
    return Environment(
        python=interpreter,
        executable=interpreter.resolve(),
        version=found[0],
        site_packages=site_packages,
        distributions=tuple(facts for facts in _distributions(site_packages) if facts[0] not in ignored),
    )


def _read_configuration(prefix: Path) -> dict[str, str]:
    """``pyvenv.cfg`` as Python reads it: ``key = value`` a line."""
    text = read_regular(prefix / CONFIGURATION).decode("utf-8", "surrogateescape")
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip().lower(): value.strip() for key, value in pairs}


def _interpreter(prefix: Path) -> Path:
    for name in ("python", "python3"):
        path = prefix / "bin" / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise TreeError(prefix / "bin/python", "is no program: an environment must have an interpreter that exists")


def _library(version: str) -> str:
    major, minor = version.split(".")[:2]
    return f"python{major}.{minor}"


def _distributions(site_packages: Path) -> list[tuple[str, str]]:
    try:
        names = sorted(path.name for path in site_packages.iterdir())
    except OSError as error:
        raise TreeError(site_packages, f"cannot be read: {error.strerror}") from error
    found = filter(None, map(_DISTRIBUTION.fullmatch, names))
    return sorted({(_normalized(match["name"]), match["version"]) for match in found})


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _links(path: Path) -> Iterator[Path]:
    """Every symbolic link on the way from ``path`` to the file behind it, and the folders that hold them."""
    for _ in range(MAX_LINKS):
        if not path.is_symlink():
            return
        yield path
        yield path.parent
        path = Path(os.path.normpath(path.parent.resolve() / path.readlink()))
    raise TreeError(path, "leads through too many symbolic links")


def _packages(folder: Path) -> Iterator[Path]:
    """Everything below ``folder``; no link, and no file that adds folders from elsewhere to the path."""
    yield folder
    for entry in _entries(folder):
        path = Path(entry.path)
        if entry.is_symlink():
            raise TreeError(path, "is a symbolic link: packages must be installed as files")
        if entry.name.endswith(".pth"):
            _check_path_file(path, folder)
        if entry.is_dir():
            yield from _packages(path)
        else:
            yield path


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise TreeError(folder, f"cannot be read: {error.strerror}") from error


def _check_path_file(path: Path, folder: Path) -> None:
    for line in read_regular(path).decode("utf-8", "surrogateescape").splitlines():
        text = line.strip()
        if not text or text.startswith("#") or line.startswith(("import ", "import\t")):
            continue
        if not Path(os.path.normpath(folder / text)).is_relative_to(folder):
            raise TreeError(path, f"leads to {text}, outside of the environment: install it there, not as editable")
