"""Downloads of images from a real server over real connections."""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.ssl import PrivateCertificate, trustRootFromCertificates
from twisted.trial.unittest import TestCase

from cloudd.image import DIGESTS, Fetcher, SourceBroken, SourceRefused, _fetch, read_sources
from storage import MemoryStore, StoreFull
from tests.tls_front.certificates import make

from .origin import RAW, Origin

reactor: Any = installed
MAX_BYTES = 1_000_000


class FetchTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.origin = Origin(reactor)
        self.addCleanup(self.origin.close)
        self.store = MemoryStore()
        self.fetcher = self.fetcher_of(f"127.0.0.1:{self.origin.port}")

    def fetcher_of(self, *allowed: str, max_bytes: int = MAX_BYTES) -> Fetcher:
        return Fetcher(reactor, read_sources(allowed), max_bytes)

    async def fetched(self, name: str, fetcher: Fetcher | None = None) -> tuple[int, str]:
        """Size and MD5 of what came."""
        upload = await self.store.receive(DIGESTS)
        try:
            await (fetcher or self.fetcher).fetch(name if ":" in name else self.origin.url(name), upload)
            return upload.size, (await upload.finish())["md5"].hex()
        finally:
            await upload.discard()

    async def refused(self, kind: type[Exception], name: str, fetcher: Fetcher | None = None) -> str:
        with self.assertRaises(kind) as caught:
            await self.fetched(name, fetcher)
        return str(caught.exception)

    async def test_whole(self) -> None:
        """With a length, in chunks, and over a redirect."""
        expected = len(RAW), hashlib.md5(RAW, usedforsecurity=False).hexdigest()
        for name in ("raw", "chunked", "there"):
            self.assertEqual(await self.fetched(name), expected, name)
        self.assertEqual([name for name, _host in self.origin.asked], ["raw", "chunked", "there", "raw"])

    async def test_slow_store(self) -> None:
        """The origin waits for the store, and nothing is lost."""
        upload: Any = await self.store.receive(DIGESTS)
        write, waits = upload.write, []

        def later(data: bytes) -> Deferred[None]:
            write(data)
            waiting: Deferred[None] = Deferred()
            waits.append(reactor.callLater(0, waiting.callback, None))
            self.assertLessEqual(sum(call.active() for call in waits), 1)
            return waiting

        self.patch(upload, "write", later)
        await self.fetcher.fetch(self.origin.url("raw"), upload)
        self.assertEqual((await upload.finish())["md5"].hex(), hashlib.md5(RAW, usedforsecurity=False).hexdigest())

    async def test_refused(self) -> None:
        """By status, too long at once or on the way, and where a redirect leads to."""
        self.assertIn("404", await self.refused(SourceRefused, "missing"))
        small = self.fetcher_of(f"127.0.0.1:{self.origin.port}", max_bytes=100_000)
        for name in ("raw", "chunked", "endless"):
            self.assertIn("100000 bytes", await self.refused(SourceRefused, name, small))
        self.assertIn("169.254.169.254", await self.refused(SourceRefused, "inside"))
        self.assertIn("http or https", await self.refused(SourceRefused, "local"))
        self.assertIn("more than 5 times", await self.refused(SourceRefused, "round"))

    async def test_broken(self) -> None:
        """What may go better next time."""
        self.assertIn("503", await self.refused(SourceBroken, "busy"))
        await self.refused(SourceBroken, "cut")
        self.patch(_fetch, "IDLE_S", 0.05)
        self.assertIn("Nothing has come", await self.refused(SourceBroken, "silent"))
        url = self.origin.url("raw")
        await maybeDeferred(self.origin.close)
        self.assertIn("refused", await self.refused(SourceBroken, url))

    async def test_slow(self) -> None:
        """What comes all the time, but too slowly, is given up."""
        self.patch(_fetch, "PACE_S", 0.05)
        self.assertIn("too slow", await self.refused(SourceBroken, "trickle"))

    async def test_name_that_is_inside(self) -> None:
        """A name that means an address of this machine is not asked, unless the address is allowed, too."""
        named = self.fetcher_of(f"localhost:{self.origin.port}")
        url = self.origin.url("raw", "localhost")
        self.assertIn("downloads nothing", await self.refused(SourceRefused, url, named))
        self.assertEqual(self.origin.asked, [])
        both = self.fetcher_of(*(f"{host}:{self.origin.port}" for host in ("localhost", "127.0.0.1", "[::1]")))
        self.assertEqual((await self.fetched(url, both))[0], len(RAW))
        self.assertEqual(self.origin.asked, [("raw", f"localhost:{self.origin.port}")])

    async def test_resolved_once(self) -> None:
        """A name whose meaning changes after it was checked is asked where it was checked."""
        answers = [["127.0.0.1"], ["127.0.0.2"]]
        self.patch(_fetch, "_resolved", lambda _reactor, _host: succeed(answers.pop(0)))
        fetcher = self.fetcher_of(f"rebinds.example:{self.origin.port}", f"127.0.0.1:{self.origin.port}")
        url = self.origin.url("raw", "rebinds.example")
        self.assertEqual((await self.fetched(url, fetcher))[0], len(RAW))
        self.assertNotIn("127.0.0.2", await self.refused(SourceRefused, url, fetcher))  # for operators alone
        self.assertEqual(len(self.origin.asked), 1)

    async def test_tls(self) -> None:
        """Of a certificate the name in the URL counts, and not the address that it is asked at; others are refused."""
        made = make("images.example")
        pair = PrivateCertificate.loadPEM(made.key + made.certificate)
        origin = Origin(reactor, certificate=pair)
        self.addCleanup(origin.close)
        self.patch(_fetch, "_resolved", lambda _reactor, _host: succeed(["127.0.0.1"]))
        allowed = [f"{host}:{origin.port}" for host in ("images.example", "other.example", "127.0.0.1")]
        trusting = Fetcher(reactor, read_sources(allowed), MAX_BYTES, trustRootFromCertificates([pair]))
        url = f"https://images.example:{origin.port}/raw"
        self.assertEqual((await self.fetched(url, trusting))[0], len(RAW))
        await self.refused(SourceBroken, url.replace("images", "other"), trusting)
        await self.refused(SourceBroken, url, Fetcher(reactor, read_sources(allowed), MAX_BYTES))
        self.assertEqual(len(origin.asked), 1)

    async def test_store_is_full(self) -> None:
        upload: Any = await self.store.receive(DIGESTS)

        def full(_data: bytes) -> Deferred[None]:
            raise_it: Deferred[None] = Deferred()
            reactor.callLater(0, raise_it.errback, StoreFull("full"))
            return raise_it

        self.patch(upload, "write", full)
        with self.assertRaises(StoreFull):
            await self.fetcher.fetch(self.origin.url("endless"), upload)

    async def test_cancelled(self) -> None:
        """It hangs up."""
        upload = await self.store.receive(DIGESTS)
        fetching = Deferred.fromCoroutine(self.fetcher.fetch(self.origin.url("silent"), upload))
        while upload.size == 0:
            waiting: Deferred[None] = Deferred()
            reactor.callLater(0, waiting.callback, None)
            await waiting
        fetching.cancel()
        await self.assertFailure(fetching, CancelledError)
