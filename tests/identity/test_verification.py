"""Verified tokens: the cache, the keys, and a database that cannot be read."""

from __future__ import annotations

from typing import Any

from attrs import define
from cryptography.fernet import Fernet
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.trial.unittest import TestCase

from cloudd.database import DatabaseBusy
from cloudd.identity import IdentityUnavailable, InvalidToken
from cloudd.interfaces.application import SelfCheckFailed, Transactions
from tests.identity.house import House


@define(eq=False)
class Sometimes:
    """A database that can be cut off, and counts what is asked of it."""

    real: Transactions
    broken: bool = False
    reads: int = 0

    def read(self, function: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        self.reads += 1
        if self.broken:
            return fail(DatabaseBusy("it is gone"))
        return self.real.read(function, *args, **kwargs)

    def write(self, function: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return fail(DatabaseBusy("it is gone")) if self.broken else self.real.write(function, *args, **kwargs)

    def version(self) -> int | None:
        return None if self.broken else self.real.version()


class CacheTests(TestCase):
    async def test_hot_path(self) -> None:
        """A verified token is served without any read, the very same object each time."""
        house = await House.built(self)
        database = Sometimes(house.database())
        identity = house.worker(database=database)
        issued = await house.demo(identity)
        before = database.reads
        for _ in range(10):
            self.assertIs(identity.cached(issued.token), issued.access)
        self.assertEqual(database.reads, before)
        self.assertIsNone(identity.cached("gAAAAA" + "x" * 100))

    async def test_asked_at_once(self) -> None:
        """Many requests with a token that is new to the worker cost one verification."""
        house = await House.built(self)
        issued = await house.demo(house.worker())
        database = Sometimes(house.database())
        identity = house.worker(database=database)
        await identity._verification.watch.ensure_fresh()
        before = database.reads
        asked = [Deferred.fromCoroutine(identity.authenticate_token(issued.token)) for _ in range(20)]
        self.assertEqual({access.user_id for access in await gatherResults(asked)}, {issued.access.user_id})
        self.assertEqual(database.reads, before + 1)


class UnavailableTests(TestCase):
    async def test_fails_closed(self) -> None:
        """Without the database nobody is let in once the last look is too old; the cause is told; it recovers."""
        house = await House.built(self)
        database = Sometimes(house.database())
        identity = house.worker(database=database)
        issued = await house.demo(identity)
        database.broken = True
        self.assertIsNotNone(identity.cached(issued.token))
        house.clock.advance(1.0)
        self.assertIsNone(identity.cached(issued.token))
        attempts = (
            identity.authenticate_token(issued.token),
            identity.ec2_access(house.login["ec2_access"]),
            identity.authenticate(house.password_login("demo")),
            identity.tempauth("demo:demo", house.login["demo_password"]),
        )
        for attempt in attempts:
            with self.assertRaises(IdentityUnavailable) as caught:
                await attempt
            self.assertIn("it is gone", caught.exception.cause)
        (health,) = identity.health()
        self.assertFalse(health.ok)
        self.assertIn("it is gone", health.cause)
        database.broken = False
        self.assertEqual(await identity.authenticate_token(issued.token), issued.access)
        self.assertTrue(identity.health()[0].ok)

    async def test_write_not_possible(self) -> None:
        house = await House.built(self)
        database = Sometimes(house.database())
        identity = house.worker(database=database)
        admin = await house.admin(identity)
        database.broken = True
        with self.assertRaises(IdentityUnavailable):
            await identity.projects.create(admin, {"name": "x", "domain_id": "default"})

    async def test_clock_set_back(self) -> None:
        """Trust in the cache does not last longer because the clock was set back: timers stand still then."""
        house = await House.built(self)
        identity = house.worker()
        issued = await house.demo(identity)
        house.clock.rightNow -= 3600
        self.assertIsNone(identity.cached(issued.token))
        self.assertEqual(await identity.authenticate_token(issued.token), issued.access)
        self.assertIsNotNone(identity.cached(issued.token))

    async def test_long_silence(self) -> None:
        """A worker that was stopped for long forgets everything: events may have been purged meanwhile."""
        house = await House.built(self)
        identity = house.worker()
        issued = await house.demo(identity)
        await identity.ec2_access(house.login["ec2_access"])
        identity._verification.watch.stop()
        house.clock.advance(120)
        await identity._verification.watch.ensure_fresh()
        self.assertIsNone(identity.cached(issued.token))
        self.assertEqual(identity._verification.credentials.entries, {})


class KeyRotationTests(TestCase):
    async def test_new_key(self) -> None:
        """A worker that meets a token of a newer key reads the folder; old tokens stay good until the key goes."""
        house = await House.built(self)
        here, there = house.worker(), house.worker()
        old = await house.demo(here)
        await there.authenticate_token(old.token)
        folder = house.folder / "secrets" / "tokens"
        (folder / "2").write_bytes(Fernet.generate_key())
        await here._verification.read_keys()
        new = await house.demo(here)
        self.assertEqual(await there.authenticate_token(new.token), new.access)
        self.assertEqual(await there.authenticate_token(old.token), old.access)
        (folder / "1").unlink()
        await there._verification.read_keys()
        self.assertIsNone(there.cached(old.token))
        with self.assertRaises(InvalidToken):
            await there.authenticate_token(old.token)

    async def test_forged_tokens_do_not_keep_the_disk_busy(self) -> None:
        house = await House.built(self)
        identity = house.worker()
        await house.demo(identity)
        reads = []
        read_again = identity._token_keys.read_again

        async def counted() -> bool:
            reads.append(1)
            return await read_again()

        self.patch(type(identity._token_keys), "read_again", lambda _: counted())
        for number in range(20):
            with self.assertRaises(InvalidToken):
                await identity.authenticate_token(f"gAAAAAB{number:0100}")
        self.assertEqual(len(reads), 1)


class SwapTests(TestCase):
    async def test_tokens_survive(self) -> None:
        """The next generation serves the same tokens without a read, and hears of what was revoked since."""
        house = await House.built(self)
        old = house.worker()
        kept, gone = await house.demo(old), await house.demo(old)
        await old.ec2_access(house.login["ec2_access"])
        state = old.snapshot()
        self.assertNotIn(house.login["ec2_secret"], str(state))
        await old.revoke(gone.access, gone.token)
        old.retire()
        database = Sometimes(house.database())
        database.broken = True
        new = house.worker(state=state, database=database)
        self.assertEqual(new.cached(kept.token), kept.access)
        database.broken = False
        house.clock.advance(0.5)
        await new._verification.watch.look()
        self.assertEqual(new.cached(kept.token), kept.access)
        self.assertIsNone(new.cached(gone.token))

    async def test_plain_data(self) -> None:
        """A snapshot is made of what MessagePack knows."""
        import msgspec

        house = await House.built(self)
        identity = house.worker()
        await house.demo(identity)
        state = identity.snapshot()
        again = house.worker(state=msgspec.msgpack.decode(msgspec.msgpack.encode(state)))
        self.assertEqual(msgspec.msgpack.encode(again.snapshot()["fields"]), msgspec.msgpack.encode(state["fields"]))
        (token,) = state["tokens"]
        self.assertEqual(again.cached(token), identity.cached(token))

    async def test_other_state(self) -> None:
        """A state of another version is ignored: the cache begins cold."""
        house = await House.built(self)
        self.assertEqual(house.worker(state={"version": 99}).snapshot()["tokens"], {})

    async def test_self_check(self) -> None:
        """It passes on a sound house, before ``start`` too, and says what is missing in another."""
        house = await House.built(self)
        await house.worker().self_check()
        database = Sometimes(house.database(), broken=True)
        with self.assertRaises(SelfCheckFailed) as caught:
            await house.worker(database=database).self_check()
        self.assertIn("it is gone", caught.exception.cause)
        (house.folder / "secrets" / "tokens" / "1").unlink()
        with self.assertRaises(SelfCheckFailed) as caught:
            await house.worker().self_check()
        self.assertIn("tokens", caught.exception.cause)
