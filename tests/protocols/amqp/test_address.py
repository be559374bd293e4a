"""URIs of brokers, decoded; passwords are in no text."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.amqp._address import Address, BadAddress

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


class AddressTests(SynchronousTestCase):
    @given(NAMES, NAMES, NAMES)
    def test_any_names(self, user: str, password: str, vhost: str) -> None:
        """Whatever is percent-encoded comes back."""
        uri = f"amqp://{quote(user, safe='')}:{quote(password, safe='')}@broker:5000/{quote(vhost, safe='')}"
        found = Address.from_uri(uri)
        self.assertEqual(found, Address("broker", 5000, user, password, vhost))

    def test_what_is_left_out(self) -> None:
        """Is as RabbitMQ's specification has it: no path is the default virtual host, an empty one the empty name."""
        self.assertEqual(Address.from_uri("amqp://"), Address())
        self.assertEqual(Address.from_uri("amqp://b"), Address("b"))
        self.assertEqual(Address.from_uri("amqp://b/").vhost, "")
        self.assertEqual(Address.from_uri("amqp://b/%2f").vhost, "/")
        self.assertEqual(Address.from_uri("amqp://me@[::1]:99"), Address("::1", 99, "me"))

    def test_tls(self) -> None:
        """Another port, and files."""
        found = Address.from_uri("amqps://b?cacertfile=/ca.pem&certfile=/c.pem&keyfile=/k.pem&server_name_indication=n")
        self.assertEqual((found.port, found.tls, found.server_name), (5671, True, "n"))
        self.assertEqual(
            [found.ca_file, found.certificate_file, found.key_file], [*map(Path, ("/ca.pem", "/c.pem", "/k.pem"))]
        )

    def test_parameters(self) -> None:
        """Heartbeats in seconds, the time-out in milliseconds."""
        found = Address.from_uri("amqp://b?heartbeat=3&connection_timeout=1500")
        self.assertEqual((found.heartbeat_s, found.connect_timeout_s), (3, 1.5))

    def test_what_is_no_address(self) -> None:
        """It is refused with the part that is wrong, and without the password."""
        for uri, words in (
            ("http://me:secret@b", "amqp:// or amqps://"),
            ("amqp://me:secret@b:port", "its port a number"),
            ("amqp://me:secret@b:99999", "its port a number"),
            ("amqp://me:secret@b/a/b", "%2f"),
            ("amqp://me:secret@b?heartbeat=soon", "heartbeat=soon"),
            ("amqp://me:secret@b?heartbeat=-1", "heartbeat=-1"),
            ("amqp://me:secret@b?frames=4", "'frames'"),
            ("amqp://me:secret@b?cacertfile=/ca", "'cacertfile'"),
        ):
            text = str(self.assertRaises(BadAddress, Address.from_uri, uri))
            self.assertIn(words, text)
            self.assertNotIn("secret", text)

    def test_no_password_is_told(self) -> None:
        """Neither to people nor to logs."""
        address = Address.from_uri("amqps://me:secret@[::1]/v")
        self.assertNotIn("secret", f"{address} {address!r}")
        self.assertEqual(str(address), "amqps://me@[::1]:5671 (virtual host v)")
