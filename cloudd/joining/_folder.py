# -*- test-case-name: tests.joining.test_folder -*-
"""
What a node keeps of itself, in ``STATE/node`` (mode 0700, files 0600).  Blocks.

``id``: who it is; written last, so a machine with it has joined as a whole.  ``identity.pem``: key and certificate in
one file, replaced as a whole.  ``authority.pem``: whom it believes.  ``settings.toml``: settings of the cloud, which
lie below those of the machine's own file.  ``database.password``, ``broker.password`` and ``broker.pem`` (whose
certificates the brokers have), where they are needed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import uuid
from pathlib import Path

from attrs import frozen

from cloudd.interfaces.settings import JOINED_SETTINGS

from ._messages import JoinAnswer

_KEY_FILE = re.compile(r"(?:tokens|credentials|servers|authority)/[0-9]{1,9}")
_SETTING = re.compile(r"[a-z][a-z0-9_]{0,63}")


class NodeFolderError(Exception):
    """The folder cannot be used; the text says why and what to do."""


@frozen
class NodeFolder:
    """
    :param state: the state folder
    """

    state: Path

    @property
    def path(self) -> Path:
        return self.state / JOINED_SETTINGS.parent

    def check_free(self) -> None:
        """
        A machine may become a node here.

        :raises NodeFolderError: it is one already, or has been a cloud of its own
        """
        if (self.path / "id").exists():
            raise NodeFolderError(f"{self.state} belongs to a node already: name an empty state folder with --state")
        for name in ("cloud.sqlite", "objects.sqlite"):
            if (self.state / name).exists():
                raise NodeFolderError(
                    f"{self.state} has the data of a cloud of its own ({name}), which would be lost from sight: "
                    "name an empty state folder with --state"
                )

    def check_node(self) -> None:
        """
        A machine is a node here.

        :raises NodeFolderError: it is none yet
        """
        if not (self.path / "id").exists():
            raise NodeFolderError(f"{self.state} belongs to no node yet: leave --again out, or name another --state")

    def node_id(self) -> str:
        """The node's id; made when there is none yet.  Safe to call from two processes."""
        self._make()
        place = self.path / "id"
        if not place.exists():
            fresh = self.path / f".id-{secrets.token_hex(8)}"
            _write(fresh, uuid.uuid4().hex + "\n")
            try:
                os.link(fresh, place)
            except FileExistsError:
                pass  # another process was first: its id is as good
            finally:
                fresh.unlink(missing_ok=True)
            _sync(self.path)
        found = place.read_text().strip()
        if not re.fullmatch("[0-9a-f]{32}", found):
            raise NodeFolderError(f"{place} holds no id of a node: restore it from a backup")
        return found

    def identity(self) -> str:
        """Key and certificate; empty: there are none."""
        return self._read("identity.pem")

    def authority(self) -> str:
        """The certificate that the others' are signed with; empty: there is none."""
        return self._read("authority.pem")

    def keep_certificate(self, key: str, certificate: str, authority: str) -> None:
        """Replace all three; who reads meanwhile finds a key with its own certificate."""
        self._make()
        _replace(self.path / "authority.pem", authority)
        _replace(self.path / "identity.pem", certificate.rstrip("\n") + "\n" + key)

    def keep(self, answer: JoinAnswer, key: str) -> None:
        """
        All that a machine was given when it joined.

        :raises NodeFolderError: something in the answer is not what it should be; nothing was written
        """
        check_answer(answer)
        self._make()
        for name, content in answer.secrets.items():
            place = self.state / "secrets" / name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(place, content)
        settings = {table: dict(keys) for table, keys in answer.settings.items()}
        if answer.database_password:
            password = self.path / "database.password"
            _replace(password, answer.database_password)
            settings.setdefault("database", {})["password_file"] = str(password.absolute())
        for name, setting, content in (
            ("broker.password", "password_file", answer.broker_password),
            ("broker.pem", "ca_file", answer.broker_authority),
        ):
            if content:
                _replace(self.path / name, content)
                settings.setdefault("messaging", {})[setting] = str((self.path / name).absolute())
        settings.setdefault("nodes", {})["name"] = answer.name
        _replace(self.path / "settings.toml", _toml(settings))
        self.keep_certificate(key, answer.certificate, answer.authority)
        _replace(self.path / "id", answer.node_id + "\n")

    def _make(self) -> None:
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700, exist_ok=True)

    def _read(self, name: str) -> str:
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            return ""


def check_answer(answer: JoinAnswer) -> None:
    """
    :raises NodeFolderError: it names files or settings outside of what a node gets
    """
    for name in answer.secrets:
        if not _KEY_FILE.fullmatch(name):
            raise NodeFolderError(f"the answer names a key file outside of its folder: {name!r:.60}")
    for table, keys in answer.settings.items():
        if not all(_SETTING.fullmatch(name) for name in (table, *keys)):
            raise NodeFolderError(f"the answer names settings that cannot be: {table!r:.60}")
    if not re.fullmatch("[0-9a-f]{32}", answer.node_id):
        raise NodeFolderError("the answer has no id of a node")


def _toml(settings: dict[str, dict[str, str]]) -> str:
    lines = ["# Written by `cloudctl node join`; your own settings file wins over it.\n"]
    for table, keys in settings.items():
        lines.append(f"[{table}]\n")
        # A JSON string without surrogates is a basic string of TOML, but for DEL.
        lines += [
            f"{name} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", "\\u007f")
            for name, value in keys.items()
        ]
    return "".join(lines)


def _write(place: Path, content: str) -> None:
    with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace(place: Path, content: str) -> None:
    """A file as a whole, on disk."""
    fresh = place.with_name(f".{place.name}.{secrets.token_hex(8)}.new")
    _write(fresh, content)
    fresh.replace(place)
    _sync(place.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
