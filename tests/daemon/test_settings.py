"""Settings: what is read, what is refused with which words, what may change while the daemon runs."""

from __future__ import annotations

from pathlib import Path

import attrs
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.control import make_key, read_private_key
from cloudd.daemon.settings import (
    SettingsError,
    apply_reloadable,
    changed_settings,
    read_settings,
    section_classes,
    settings_from_plain,
    settings_to_plain,
)
from cloudd.interfaces.broker import broker_urls
from cloudd.interfaces.settings import Settings, default_state
from cloudd.protocols.amqp import Address

DEFAULT = Path("/var/lib/cloudd")


class ReadTests(SynchronousTestCase):
    def read(self, text: str, state: Path | None = None, **listen: str) -> Settings:
        file = Path(self.mktemp())
        file.write_text(text)
        return read_settings(file, state, DEFAULT, listen)

    def refusal(self, text: str) -> SettingsError:
        error: SettingsError = self.assertRaises(SettingsError, self.read, text)
        return error

    def test_no_file(self) -> None:
        """Without a file there are defaults."""
        self.assertEqual(read_settings(None, None, DEFAULT, {}), Settings(state=DEFAULT))

    def test_precedence_of_state(self) -> None:
        """The command line wins over the file, the file over the default."""
        self.assertEqual(self.read('state = "/a"').state, Path("/a"))
        self.assertEqual(self.read('state = "/a"', Path("/b")).state, Path("/b"))
        self.assertEqual(self.read("").state, DEFAULT)

    def test_listen_options(self) -> None:
        """Endpoint options win over the file; others of the table stay."""
        settings = self.read('[listen]\napi = "tcp:1"\ns3 = "tcp:2"', api="tcp:3", object="")
        self.assertEqual((settings.listen.api, settings.listen.object, settings.listen.s3), ("tcp:3", "", "tcp:2"))

    def test_weights(self) -> None:
        """Each a name and a number; a plug-in that there is not is found later."""
        self.assertEqual(self.read('[scheduler]\nweights = ["memory=2", "x=-0.5"]').scheduler.weights[1], "x=-0.5")
        for text in ("memory", "=1", "memory=x", "memory=nan", "memory=1e9", "memory=inf"):
            error = self.refusal(f'[scheduler]\nweights = ["{text}"]')
            self.assertEqual((error.key, text in error.cause), ("scheduler.weights", True))
        self.assertIn("twice", self.refusal('[scheduler]\nweights = ["a=1", "a=2"]').cause)
        self.assertIn("spread", self.refusal('[scheduler]\nplacement = "tight"').remedy)

    def test_values(self) -> None:
        """Whole numbers do for seconds; lists become tuples."""
        settings = self.read('[workers]\nstop_timeout_s = 5\n[upgrade]\ntrees = ["/srv/a"]')
        self.assertEqual(settings.workers.stop_timeout_s, 5.0)
        self.assertEqual(settings.upgrade.trees, ("/srv/a",))

    def test_database(self) -> None:
        """A server's URL is checked, its password file is a path, and a password is never said again."""
        good = self.read('[database]\nurl = "postgresql://u@db/cloud"\npassword_file = "/etc/password"\n')
        self.assertEqual(good.database.url, "postgresql://u@db/cloud")
        for text, key in (
            ('url = "postgresql://u:friend@db/cloud"', "database.url"),
            ('url = "mysql://u@db/cloud"', "database.url"),
            ('password_file = "/etc/password"', "database.password_file"),
            ('url = "postgresql://u@db/cloud"\npassword_file = "password"', "database.password_file"),
        ):
            error = self.refusal(f"[database]\n{text}\n")
            self.assertEqual(error.key, key)
            self.assertNotIn("friend", str(error))

    def test_messaging(self) -> None:
        """Brokers' URLs are checked without a client library, files are paths, and a password is never said again."""
        text = 'url = "amqps://u@a/v?heartbeat=3 amqps://u@b:7"\npassword_file = "/p"\nca_file = "/c"\n'
        good = self.read(f"[messaging]\n{text}")
        self.assertEqual((good.messaging.password_file, good.messaging.ca_file), ("/p", "/c"))
        self.assertEqual(settings_from_plain(settings_to_plain(good)), good)
        for wrong, key in (
            ('url = "amqp://u:friend@mq"', "messaging.url"),
            ('url = "amqp://u@mq mq2"', "messaging.url"),
            ('url = "http://u@mq"', "messaging.url"),
            ('url = "amqp://u@"', "messaging.url"),
            ('url = "amqp://u@mq:port"', "messaging.url"),
            ('url = "amqp://u@mq/a/b"', "messaging.url"),
            ('url = "amqp://u@mq?heartbeat=soon"', "messaging.url"),
            ('url = "amqp://u@mq?cacertfile=/c"', "messaging.url"),
            ('url = "amqp://u@mq?server_name_indication=x"', "messaging.url"),
            ('password_file = "/p"', "messaging.password_file"),
            ('url = "amqp://u@mq"\npassword_file = "p"', "messaging.password_file"),
            ('url = "amqp://u@mq"\nca_file = "/c"', "messaging.ca_file"),
            ('url = "amqps://u@mq"\nkey_file = "/k"', "messaging.key_file"),
        ):
            error = self.refusal(f"[messaging]\n{wrong}\n")
            self.assertEqual(error.key, key, wrong)
            self.assertNotIn("friend", str(error))

    def test_download_hosts(self) -> None:
        """An entry that is none is refused before anything starts, not when the service is built."""
        hosts = '["images.example.org", "*.example.org:8443", "192.0.2.0/24", "[2001:db8::1]:80"]'
        good = self.read(f"[images]\nweb_download_hosts = {hosts}\n")
        self.assertEqual(len(good.images.web_download_hosts), 4)
        error = self.refusal('[images]\nweb_download_hosts = ["http://x"]\n')
        self.assertEqual(error.key, "images.web_download_hosts")
        self.assertIn("'http://x' is no host", error.cause)

    def test_network(self) -> None:
        """An address that guests cannot be sent to, and a folder that is no path, are refused."""
        self.assertEqual(self.read('[network]\nmetadata_address = "192.0.2.9"\n').network.metadata_port, 8775)
        for wrong in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "somewhere"):
            error = self.refusal(f'[network]\nmetadata_address = "{wrong}"\n')
            self.assertEqual(error.key, "network.metadata_address", wrong)
        self.assertEqual(self.refusal('[network]\nfolder = "here"\n').key, "network.folder")
        self.assertIn("auto, on, off", self.refusal('[network]\ndata_plane = "yes"\n').remedy)
        for wrong in ("x", "10.0.0.1/8"):
            error = self.refusal(f'[network]\ntenant_ranges = ["{wrong}"]\n')
            self.assertEqual((error.key, "is no range" in error.cause), ("network.tenant_ranges", True))
        self.assertEqual(self.read("[network]\ntenant_ranges = []\n").network.tenant_ranges, ())

    def test_good_broker_urls(self) -> None:
        """What the settings take, the client takes as well."""
        for url in ("amqp://mq", "amqps://u%40v@mq:5671/%2f?heartbeat=10&connection_timeout=500", "amqp://u@[::1]/v"):
            (found,) = broker_urls(url)
            Address.from_uri(found)

    def test_unknown_keys(self) -> None:
        """An unknown table or key names the nearest one."""
        self.assertIn("did you mean workers?", str(self.refusal("[worker]\nfront = 2")))
        error = self.refusal("[http]\nidle_timeout = 3")
        self.assertEqual(error.key, "http.idle_timeout")
        self.assertIn("did you mean http.idle_timeout_s?", error.remedy)
        self.assertIn("known here are", self.refusal("[log]\nxyz = 3").remedy)

    def test_wrong_types(self) -> None:
        """Each wrong type is refused with the key and what to write."""
        for text, key in (
            ("[workers]\nfront = true", "workers.front"),
            ("[workers]\nfront = 1.5", "workers.front"),
            ('[workers]\nfront = "2"', "workers.front"),
            ("[workers]\nagent = 1", "workers.agent"),
            ("[listen]\napi = 5000", "listen.api"),
            ('[listen]\napi = "tcp:1\\n2"', "listen.api"),
            ('[upgrade]\ntrees = "/srv"', "upgrade.trees"),
            ("[upgrade]\ntrees = [1]", "upgrade.trees"),
            ("state = 3", "state"),
            ('state = ""', "state"),
            ("listen = 3", "listen"),
        ):
            error = self.refusal(text)
            self.assertEqual(error.key, key, text)
            self.assertIn("write", error.remedy, text)

    def test_ranges(self) -> None:
        """Numbers outside their range, infinities and NaN among them, and unknown choices are refused."""
        for text in (
            "[workers]\nfront = -1",
            "[workers]\nthreads = 0",
            "[http]\nidle_timeout_s = 0",
            "[http]\nidle_timeout_s = nan",
            "[http]\nidle_timeout_s = inf",
            "[identity]\nrevocation_poll_s = 5",
        ):
            self.assertIn("write a number from", self.refusal(text).remedy, text)
        self.assertIn("text, json", self.refusal('[log]\naccess_format = "xml"').remedy)

    def test_public_key(self) -> None:
        """A PEM file becomes the key itself, which is what counts from then on; base64 is taken as it is."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        public = make_key(folder / "key.pem")
        pem = (
            read_private_key(folder / "key.pem")
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        file = folder / "public.pem"
        file.write_bytes(pem)
        for value in (public, str(file)):
            self.assertEqual(self.read(f'[upgrade]\npublic_key = "{value}"').upgrade.public_key, public)
        file.write_bytes(b"nonsense")
        for value, word in (
            (str(file), "no public key in PEM"),
            (str(folder / "key.pem"), "does not belong on this host"),
            (str(folder / "absent.pem"), "examined"),
            (str(folder), "cannot be read"),
            (public.lstrip("/")[:-4], "absolute path"),
            ("public.pem", "absolute path"),
        ):
            error = self.refusal(f'[upgrade]\npublic_key = "{value}"')
            self.assertEqual((error.key, word in str(error)), ("upgrade.public_key", True), str(error))
        file.chmod(0o666)
        self.assertIn("chooses the code", self.refusal(f'[upgrade]\npublic_key = "{file}"').remedy)

    def test_file_that_cannot_be_read(self) -> None:
        """A missing file and a file that is no TOML are named with their cause."""
        with self.assertRaises(SettingsError) as caught:
            read_settings(Path("/nowhere/cloudd.toml"), None, DEFAULT, {})
        self.assertIn("No such file", str(caught.exception))
        self.assertIn("is not TOML", str(self.refusal("state = ")))
        file = Path(self.mktemp())
        file.write_bytes(b'state = "\xff"')
        self.assertRaises(SettingsError, read_settings, file, None, DEFAULT, {})


class PlainTests(SynchronousTestCase):
    @given(
        front=st.integers(0, 256),
        timeout=st.floats(0, 3600),
        api=st.text(st.characters(codec="ascii", categories=("L", "N", "P"))),
        trees=st.lists(st.text(min_size=1).filter(lambda text: "\0" not in text)),
    )
    def test_round_trip(self, front: int, timeout: float, api: str, trees: list[str]) -> None:
        """Plain data gives back an equal value."""
        plain = {
            "state": "/s",
            "workers": {"front": front, "stop_timeout_s": timeout},
            "listen": {"api": api},
            "upgrade": {"trees": trees},
        }
        settings = settings_from_plain(plain)
        self.assertEqual(settings_from_plain(settings_to_plain(settings)), settings)

    def test_only_what_was_chosen_travels(self) -> None:
        """Older code refuses what it does not know, and a rollback starts it with these."""
        chosen = {"state": "/s", "log": {"access_format": "json"}}
        self.assertEqual(settings_to_plain(settings_from_plain(chosen)), chosen)

    def test_defaults_pass_their_own_checks(self) -> None:
        """Every default lies in its range and has a meaning."""
        settings = Settings(state=DEFAULT)
        self.assertEqual(settings_from_plain(settings_to_plain(settings)), settings)
        for section in section_classes().values():
            for key in attrs.fields(section):
                self.assertTrue(key.metadata["meaning"], key.name)

    def test_changes(self) -> None:
        """Only keys marked for it are taken while the daemon runs."""
        old = settings_from_plain({"state": "/s"})
        new = settings_from_plain(
            {"state": "/t", "log": {"access_format": "json"}, "workers": {"front": 3, "stop_timeout_s": 1}}
        )
        at_once, at_restart = changed_settings(old, new)
        self.assertEqual(sorted(at_once), ["log.access_format", "workers.stop_timeout_s"])
        self.assertEqual(sorted(at_restart), ["state", "workers.front"])
        applied = apply_reloadable(old, new)
        self.assertEqual(applied.log.access_format, "json")
        self.assertEqual(applied.workers.stop_timeout_s, 1.0)
        self.assertEqual((applied.workers.front, applied.state), (0, Path("/s")))


class DefaultStateTests(SynchronousTestCase):
    def test_default_state(self) -> None:
        """The variable wins; root has a system folder, others one below home or ``XDG_DATA_HOME``."""
        self.assertEqual(default_state({"CLOUDD_STATE": "/x", "HOME": "/h"}, 0), Path("/x"))
        self.assertEqual(default_state({"HOME": "/h"}, 0), Path("/var/lib/cloudd"))
        self.assertEqual(default_state({"HOME": "/h"}, 1000), Path("/h/.local/share/cloudd"))
        self.assertEqual(default_state({"HOME": "/h", "XDG_DATA_HOME": "/d"}, 1000), Path("/d/cloudd"))
