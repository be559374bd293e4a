"""The objects service: leave to act, timers, health and self-check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from cloudd.interfaces.application import Resources, SelfCheckFailed
from cloudd.interfaces.settings import Settings
from cloudd.objects import Action, Forbidden, Objects, Unauthorized, _service
from storage import MemoryStore, SpaceFacts
from tests.objects.test_access import Someone


class Figure:
    """A metric that remembers."""

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        self.value = value

    def inc(self, amount: float) -> None:
        self.value += amount


class Figures:
    """``Metrics``: one figure a name."""

    def __init__(self) -> None:
        self.held: dict[str, Figure] = {}

    def gauge(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Any:
        return self.held.setdefault(name, Figure())

    counter = histogram = gauge


class Direct:
    """``Threads`` without threads."""

    def run(self, function: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return maybeDeferred(function, *args, **kwargs)


class ServiceTests(TestCase):
    """``Objects``."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.store = MemoryStore()
        self.clock = Clock()
        self.figures = Figures()
        self.objects = self.made("all")
        await self.store.create_container("AUTH_p1", "public", {"acl:read": ".r:*", "acl:write": "p2:*"})
        await self.store.create_container("AUTH_p1", "private", {})

    def made(self, role: str) -> Objects:
        """The service in a worker of that role."""
        nothing: Any = None
        resources = Resources(
            reactor=self.clock,
            settings=Settings(state=Path()),
            threads=Direct(),
            database=nothing,
            object_index=nothing,
            metrics=self.figures,
            host=nothing,
            role=role,
            generation=1,
            urls={},
            secrets=Path(),
        )
        return Objects(resources, self.store)

    async def refuses(self, error: type[Exception], waiting: Any) -> Any:
        """The error with which ``waiting`` failed."""
        return await self.assertFailure(waiting, error)

    async def test_by_role(self) -> None:
        """The project's own member is let in without a look at the container."""
        self.patch(self.store, "container", lambda *_: self.fail("asked"))
        await self.objects.authorize(Someone(roles=("member",)), "AUTH_p1", Action.WRITE_OBJECT, "any")

    async def test_by_list(self) -> None:
        """Others are let in by the container's lists."""
        await self.objects.authorize(None, "AUTH_p1", Action.READ_OBJECT, "public")
        await self.objects.authorize(Someone("p2"), "AUTH_p1", Action.WRITE_OBJECT, "public")

    async def test_refused(self) -> None:
        """Nobody is asked to log in, somebody is told no; whether the container exists stays a secret."""
        for container in ("public", "private", "missing", None):
            for access, error in ((None, Unauthorized), (Someone("p3"), Forbidden)):
                refused = self.objects.authorize(access, "AUTH_p1", Action.WRITE_OBJECT, container)
                found: Any = await self.refuses(error, Deferred.fromCoroutine(refused))
                self.assertNotIn(str(container), found.cause)

    async def test_self_check(self) -> None:
        """Passes with a store that answers; fails with the cause."""
        await self.objects.self_check()
        self.patch(self.store, "space", lambda: fail(OSError("no such disk")))
        error = await self.refuses(SelfCheckFailed, self.objects.self_check())
        self.assertEqual((error.module, error.cause), ("cloudd.objects", "no such disk"))

    def test_space_is_measured(self) -> None:
        """Free bytes are a metric; too little of them is a failing part that says what to do."""
        self.objects.start({})
        self.addCleanup(self.objects.retire)
        (health,) = self.objects.health()
        self.assertTrue(health.ok)
        self.assertEqual(self.figures.held["cloudd_store_free_bytes"].value, 1 << 40)
        little = SpaceFacts(free_bytes=5, reserve_bytes=10, total_bytes=100)
        self.patch(self.store, "space", lambda: succeed(little))
        self.clock.advance(_service.SPACE_S)
        (health,) = self.objects.health()
        self.assertFalse(health.ok)
        self.assertIn("reserve_bytes", health.cause)

    def test_one_worker_tells(self) -> None:
        """The host's figure is the sum over its workers, so only one of them tells how much is free."""
        front = self.made("front")
        front.start({})
        self.addCleanup(front.retire)
        self.assertEqual(self.figures.held["cloudd_store_free_bytes"].value, 0)
        self.assertTrue(front.health()[0].ok)

    def test_trouble_passes(self) -> None:
        """A store that does not answer is unhealthy until it answers again; the timer lives on."""
        self.objects.start({})
        self.addCleanup(self.objects.retire)
        patch = self.patch(self.store, "space", lambda: fail(OSError("EIO")))
        self.clock.advance(_service.SPACE_S)
        self.assertIn("EIO", self.objects.health()[0].cause)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        patch.restore()
        self.clock.advance(_service.SPACE_S)
        self.assertTrue(self.objects.health()[0].ok)

    def test_upkeep(self) -> None:
        """One worker of the host does it once its code was decided for, again and again, also after it failed."""
        results = [succeed(2), fail(OSError("busy")), succeed(3)]
        self.patch(self.store, "upkeep", lambda: results.pop(0))
        front = self.made("front")
        front.start({})
        front.lead()
        self.objects.start({})
        self.assertEqual(len(results), 3)
        self.objects.lead()
        self.objects.lead()
        self.clock.advance(_service.UPKEEP_S)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.clock.advance(_service.UPKEEP_S)
        self.assertEqual(self.figures.held["cloudd_store_orphans_removed"].value, 5)

    def test_retire(self) -> None:
        """A retired service has no timers and hands nothing on."""
        self.objects.start({})
        self.objects.lead()
        self.assertEqual(self.objects.snapshot(), {})
        self.objects.retire()
        self.assertEqual(self.clock.getDelayedCalls(), [])
