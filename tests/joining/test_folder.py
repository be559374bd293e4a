"""What a node keeps: modes, whole files, and nothing outside of its places."""

from __future__ import annotations

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon.settings import read_settings
from cloudd.joining import JoinAnswer, NodeFolder, NodeFolderError

ANSWER = JoinAnswer(
    node_id="a" * 32,
    name="two",
    roles=["api"],
    certificate="certificate\n",
    authority="authority\n",
    settings={
        "database": {"url": "postgresql://cloudd@db/cloudd"},
        "identity": {"region": 'R"1\\ü'},
        "messaging": {"url": "amqps://cloudd@mq"},
    },
    secrets={"tokens/1": "key\n", "credentials/12": "other\n", "servers/1": "third\n"},
    database_password="say friend",
    broker_password="say other",
    broker_authority="certificate of the broker's",
)


class FolderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.folder = NodeFolder(self.state)

    def test_kept(self) -> None:
        """All of it, for nobody else to read; the daemon takes the settings, and its own file wins over them."""
        self.folder.check_free()
        self.folder.keep(ANSWER, "key\n")
        self.assertEqual(self.folder.node_id(), "a" * 32)
        self.assertEqual((self.folder.identity(), self.folder.authority()), ("certificate\nkey\n", "authority\n"))
        self.assertEqual((self.state / "secrets/credentials/12").read_text(), "other\n")
        self.assertEqual((self.state / "secrets/servers/1").read_text(), "third\n")
        files = [file for file in self.state.rglob("*") if file.is_file()]
        self.assertEqual({file.stat().st_mode & 0o777 for file in files}, {0o600})
        folders = [self.state, *(file for file in self.state.rglob("*") if file.is_dir() and file.name != "secrets")]
        self.assertEqual({file.stat().st_mode & 0o777 for file in folders}, {0o700})
        settings = read_settings(None, self.state, Path("/nowhere"), {})
        self.assertEqual((settings.database.url, settings.nodes.name), ("postgresql://cloudd@db/cloudd", "two"))
        self.assertEqual(Path(settings.database.password_file).read_text(), "say friend")
        messaging = settings.messaging
        self.assertEqual(messaging.url, "amqps://cloudd@mq")
        self.assertEqual(Path(messaging.password_file).read_text(), "say other")
        self.assertEqual(Path(messaging.ca_file).read_text(), "certificate of the broker's")
        own = Path(self.mktemp())
        own.write_text('[database]\nurl = "postgresql://cloudd@near/cloudd"\n[nodes]\nheartbeat_s = 2\n')
        settings = read_settings(own, self.state, Path("/nowhere"), {})
        self.assertEqual((settings.database.url, settings.nodes.name), ("postgresql://cloudd@near/cloudd", "two"))
        self.assertEqual(settings.nodes.heartbeat_s, 2)
        with self.assertRaises(NodeFolderError):
            self.folder.check_free()

    def test_settings_of_any_text(self) -> None:
        """TOML reads what was given."""
        odd = {"identity": {"region": 'R"1\\ü\x7f\t\n\x00\U0001f600'}}
        self.folder.keep(msgspec.structs.replace(ANSWER, settings=odd), "key")
        table = tomllib.loads((self.folder.path / "settings.toml").read_text())
        self.assertEqual(table["identity"], odd["identity"])

    def test_bad_answers(self) -> None:
        """Names that lead elsewhere are refused, and nothing at all is kept."""
        bad: list[dict[str, Any]] = [
            {"secrets": {"../../etc/passwd": ""}},
            {"secrets": {"tokens/../x": ""}},
            {"secrets": {"/tokens/1": ""}},
            {"secrets": {"other/1": ""}},
            {"settings": {"a]\n[b": {"x": "y"}}},
            {"settings": {"a": {"x = 1\ny": "y"}}},
            {"node_id": "../x"},
        ]
        for change in bad:
            with self.assertRaises(NodeFolderError):
                self.folder.keep(msgspec.structs.replace(ANSWER, **change), "key")
        self.assertFalse(self.state.exists())

    def test_own_id(self) -> None:
        """Made once, whoever comes together; a broken one is told of."""
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: NodeFolder(self.state).node_id(), range(16)))
        self.assertEqual(len(set(found)), 1)
        self.assertEqual([file.name for file in self.folder.path.iterdir()], ["id"])
        (self.folder.path / "id").write_text("odd")
        with self.assertRaises(NodeFolderError):
            self.folder.node_id()

    def test_used_folder(self) -> None:
        """Where a cloud of its own has been, no node is made."""
        self.state.mkdir()
        (self.state / "cloud.sqlite").touch()
        with self.assertRaises(NodeFolderError):
            self.folder.check_free()
