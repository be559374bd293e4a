"""Endpoint strings, listening sockets and URLs."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._listening import (
    Endpoint,
    ListenError,
    bind_all,
    close_all,
    endpoints_of,
    parse_endpoint,
    url_of,
)
from cloudd.interfaces.settings import ListenSettings, NetworkSettings, Settings
from cloudd.tls_front import CertificateFiles


class ParseTests(SynchronousTestCase):
    def test_forms(self) -> None:
        """Those forms of Twisted's endpoint strings that a server uses are understood."""
        for text, expected in (
            ("tcp:5000", Endpoint("tcp", 5000)),
            ("tcp:5000:interface=127.0.0.1", Endpoint("tcp", 5000, "127.0.0.1")),
            ("tcp:port=5000:backlog=7", Endpoint("tcp", 5000, backlog=7)),
            ("tcp6:5000:interface=\\:\\:1", Endpoint("tcp6", 5000, "::1")),
            ("tcp:5000:interface=\\:\\:1", Endpoint("tcp6", 5000, "::1")),
            ("unix:/run/a.sock:mode=660", Endpoint("unix", path="/run/a.sock", mode=0o660)),
            ("unix:address=/run/a\\:b", Endpoint("unix", path="/run/a:b")),
            ("ssl:443:privateKey=/k:certKey=/c", Endpoint("tcp", 443, tls=CertificateFiles("/k", "/c"))),
            ("ssl:443:privateKey=/both.pem", Endpoint("tcp", 443, tls=CertificateFiles("/both.pem", "/both.pem"))),
            (
                "ssl:443:interface=\\:\\:1:privateKey=/k:certKey=/c:extraCertChain=/x:sni=/names",
                Endpoint("tcp6", 443, "::1", tls=CertificateFiles("/k", "/c", "/x", "/names")),
            ),
            ("ssl:443:sni=/names", Endpoint("tcp", 443, tls=CertificateFiles(names="/names"))),
        ):
            self.assertEqual(parse_endpoint("api", text), expected, text)

    def test_refusals(self) -> None:
        """What is wrong is refused with the face and the text."""
        for text in (
            "tcp",
            "tcp:x",
            "tcp:70000",
            "tcp:1:inteface=a",
            "tcp:1:2",
            "ssl:443",
            "ssl:443:certKey=c.pem",
            "ssl:443:sni=/names:extraCertChain=/x",
            "ssl:443:privateKey=/k:dhParameters=/d",
            "tcp:443:privateKey=/k",
            "unix",
            "unix:/a:mode=9",
            "",
        ):
            error = self.assertRaises(ListenError, parse_endpoint, "s3", text)
            self.assertEqual((error.face, error.endpoint), ("s3", text))
            self.assertIn("listen.s3", str(error))


class BindTests(SynchronousTestCase):
    def test_all_or_none(self) -> None:
        """When one face cannot listen, the others do not either; empty ones are off."""
        bound = bind_all({"api": "tcp:0:interface=127.0.0.1", "object": ""})
        self.addCleanup(close_all, bound)
        self.assertEqual(list(bound), ["api"])
        port = bound["api"].getsockname()[1]
        free = bind_all({"api": "tcp:0:interface=127.0.0.1"})
        other = free["api"].getsockname()[1]
        close_all(free)
        wanted = {"object": f"tcp:{other}:interface=127.0.0.1", "s3": f"tcp:{port}:interface=127.0.0.1"}
        error = self.assertRaises(ListenError, bind_all, wanted)
        self.assertEqual(error.face, "s3")
        self.assertIn("another port", error.cause)
        close_all(bind_all({"object": wanted["object"]}))

    def test_no_such_address(self) -> None:
        """The cause is in words."""
        error = self.assertRaises(ListenError, bind_all, {"api": "tcp:0:interface=192.0.2.77"})
        self.assertIn("no such address", error.cause)
        cause = error.__cause__
        assert isinstance(cause, OSError)
        self.assertEqual(cause.errno, errno.EADDRNOTAVAIL)

    def test_address_that_comes_later(self) -> None:
        """Metadata's is made by the host's network, when the daemon runs already."""
        for address in ("192.0.2.77", "2001:db8::77"):
            endpoint = "tcp:0:interface=" + address.replace(":", "\\:")
            bound = bind_all({"metadata": endpoint})
            self.assertEqual(bound["metadata"].getsockname()[0], address)
            close_all(bound)

    def test_place_of_another(self) -> None:
        """A metadata service that nobody asked for leaves its place to others; of one that was asked for it is told."""
        address = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(address.close)
        endpoints = {"api": "tcp:0", "metadata": f"tcp:{address.getsockname()[1]}:interface=127.0.0.1"}
        bound = bind_all(endpoints, yielding=["metadata"])
        self.addCleanup(close_all, bound)
        self.assertEqual(list(bound), ["api"])
        self.assertRaises(ListenError, bind_all, endpoints)

    def test_who_has_guests(self) -> None:
        """Only root can give guests a network; what is asked for is done for everybody."""

        def metadata(listen: str, *, is_root: bool, **network: Any) -> str:
            settings = Settings(
                state=Path("state"), listen=ListenSettings(metadata=listen), network=NetworkSettings(**network)
            )
            return endpoints_of(settings, is_root=is_root)["metadata"]

        self.assertEqual(metadata("auto", is_root=True), "tcp:8775:interface=169.254.169.250")
        elsewhere = metadata("auto", is_root=True, metadata_port=80, metadata_address="192.0.2.1")
        self.assertEqual(elsewhere, "tcp:80:interface=192.0.2.1")
        self.assertEqual(metadata("auto", is_root=True, metadata_port=0), "")
        self.assertEqual(metadata("auto", is_root=False), "")
        self.assertEqual(metadata("tcp:1", is_root=False), "tcp:1")

    def test_held(self) -> None:
        """A socket that listens already at an address is used again, whether or not others listen there."""
        held = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(held.close)
        port = held.getsockname()[1]
        bound = bind_all({"api": f"tcp:{port}:interface=127.0.0.1", "s3": "tcp:0:interface=127.0.0.1"}, [held])
        self.addCleanup(close_all, bound)
        self.assertEqual(os.fstat(bound["api"].fileno()).st_ino, os.fstat(held.fileno()).st_ino)
        self.assertNotEqual(bound["s3"].getsockname()[1], port)

    def test_unix(self) -> None:
        """The mode is as asked for; a name that a killed daemon left is taken over, one in use is not."""
        folder = Path(tempfile.mkdtemp())
        path = folder / "s"
        self.addCleanup(folder.rmdir)
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        bound = bind_all({"api": f"unix:{path}:mode=660"})
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o660)
        self.assertRaises(ListenError, bind_all, {"api": f"unix:{path}"})
        close_all(bound)
        self.assertFalse(path.exists())


class URLTests(SynchronousTestCase):
    def url(self, endpoint: str, named: str = "", secure: bool = False) -> str:
        bound = bind_all({"api": endpoint})
        self.port = bound["api"].getsockname()[1]
        try:
            return url_of(bound["api"], named, secure=secure)
        finally:
            close_all(bound)

    def test_urls(self) -> None:
        """From the socket, or as the settings say; never a wildcard, never a slash at the end."""
        self.assertEqual(self.url("tcp:0:interface=127.0.0.1"), f"http://127.0.0.1:{self.port}")
        self.assertEqual(self.url("tcp:0", "https://cloud.example.org/"), "https://cloud.example.org")
        self.assertEqual(self.url("tcp:0:interface=127.0.0.1", secure=True), f"https://127.0.0.1:{self.port}")
        url = self.url("tcp:0")
        self.assertNotIn("0.0.0.0", url)
        self.assertTrue(url.endswith(f":{self.port}"))
