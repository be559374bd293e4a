"""
The face over the real HTTP protocol in memory, a store in memory, and an identity that knows four tokens.

``FaceCase`` remembers every upload and reading of the store, so that tests can ask whether something was left open.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import frozen
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from cloudd.identity import Access, IdentityUnavailable, InvalidToken, IssuedToken, RoleRef, Unauthorized
from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import ObjectSettings, Settings
from cloudd.objects import Objects
from cloudd.protocols.swift import swift_face
from storage import MemoryStore
from tests.http_client import ConnectionEnded, HTTPClient, request_bytes

ALICE, BOB, READER, ADMIN = "alice", "bob", "reader", "admin"
MAX_OBJECT_BYTES = 4_000_000
HOUR_US = 3_600_000_000


def an_access(user: str, project: str, role: str) -> Access:
    return Access(
        user_id=f"{user}-id",
        user_name=user,
        user_domain_id="default",
        user_domain_name="Default",
        project_id=project,
        roles=tuple(RoleRef(name, name) for name in {"member": ["member", "reader"]}.get(role, [role])),
        expires_at=HOUR_US,
    )


class FourTokens:
    """Identity as the face sees it: ``alice`` is cached, ``uncached`` is hers too but has to be asked for."""

    def __init__(self) -> None:
        self.down = False
        self.tokens = {
            ALICE: an_access("alice", "p1", "member"),
            BOB: an_access("bob", "p2", "member"),
            READER: an_access("carol", "p1", "reader"),
            ADMIN: an_access("root", "p0", "admin"),
        }

    def cached(self, token: str) -> Access | None:
        return self.tokens.get(token)

    async def authenticate_token(self, token: str) -> Access:
        if self.down:
            raise IdentityUnavailable("the database is away")
        if token == "uncached":
            return self.tokens[ALICE]
        raise InvalidToken("the token has expired")

    async def tempauth(self, user: str, key: str) -> IssuedToken:
        if self.down:
            raise IdentityUnavailable("the database is away")
        if (user, key) != ("demo:alice", "secret"):
            raise Unauthorized("wrong")
        return IssuedToken(ALICE, self.tokens[ALICE])


class ThreadsAtOnce:
    """Runs what belongs into threads at once."""

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return maybeDeferred(function, *args, **kwargs)


class NoMetrics:
    """Takes every measurement and keeps none."""

    def counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Any:
        return self

    gauge = histogram = counter


@frozen
class Answer:
    """``headers`` are as on the wire; ``header`` reads one as UTF-8.  ``broken``: the connection ended within it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    continued: bool = False
    broken: bool = False

    def header(self, name: str) -> str:
        return self.headers[name].encode("latin-1").decode()


class FaceCase(TestCase):
    account_name = "AUTH_p1"
    account = "/v1/AUTH_p1"
    max_object_bytes = MAX_OBJECT_BYTES

    def setUp(self) -> Any:
        self.store: Any = self.make_store()
        self.identity = FourTokens()
        self.uploads: list[Any] = []
        self.readings: list[Any] = []
        self._remember("receive", self.uploads)
        self._remember("open", self.readings)
        settings = Settings(state=Path("state"), objects=ObjectSettings(max_object_bytes=MAX_OBJECT_BYTES))
        clock = Clock()
        nothing: Any = None
        resources = Resources(
            reactor=clock,
            settings=settings,
            threads=ThreadsAtOnce(),
            database=nothing,
            object_index=nothing,
            metrics=NoMetrics(),
            host=nothing,
            role="front",
            generation=1,
            urls={"object": "http://object.test"},
            secrets=Path("secrets"),
        )
        identity: Any = self.identity
        self.http = HTTPClient(swift_face(identity, Objects(resources, self.store), resources), face="object")
        return Deferred.fromCoroutine(self.prepare())

    def make_store(self) -> Any:
        """An empty store."""
        return MemoryStore()

    async def prepare(self) -> None:
        """What the tests of a class begin with."""

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str | bytes] | None = None,
        *,
        body: bytes | None = None,
        token: str | None = ALICE,
        chunked: bool = False,
        half_close: bool = False,
    ) -> Answer:
        """One request on a connection of its own, and its answer."""
        fields = self._fields(headers, token)
        if chunked:
            fields["transfer-encoding"] = "chunked"
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        connection = self.http.connect()
        connection.expect(method)
        connection.send(request_bytes(method, target, headers=fields, body=body))
        if half_close:
            connection.protocol.readConnectionLost()
        try:
            answer = await connection.answer()
        except ConnectionEnded:
            _, _, sent = connection.received.partition(b"\r\n\r\n")
            return Answer(int(connection.received.split(b" ", 2)[1]), {}, sent, broken=True)
        return Answer(answer.status, answer.headers, answer.body, 100 in connection.interim)

    async def leave(
        self, method: str, target: str, headers: Mapping[str, str | bytes] | None = None, *, body: bytes = b""
    ) -> None:
        """Send a request and leave before its answer, in the middle of a body if ``headers`` promise more."""
        connection = self.http.connect()
        connection.send(request_bytes(method, target, headers=self._fields(headers, ALICE), body=body or None))
        connection.leave()

    async def put_container(self, name: str) -> None:
        await self.store.create_container(self.account_name, name, {})

    async def put_object(
        self, container: str, name: str, data: bytes, headers: Mapping[str, str | bytes] | None = None
    ) -> None:
        """An object, through the face; its container is made first."""
        await self.put_container(container)
        answer = await self.ask("PUT", f"{self.account}/{container}/{self.quoted(name)}", headers, body=data)
        assert answer.status == 201, answer

    async def names(self, container: str) -> list[str]:
        """The names of all objects of a container, from the store."""
        listing = await self.ask("GET", f"{self.account}/{self.quoted(container)}?format=json")
        return [row["name"] for row in json.loads(listing.body)]

    @staticmethod
    def quoted(name: str) -> str:
        return quote(name, safe="/")

    def open_readings(self) -> int:
        """How many readings still hold a descriptor."""
        return sum(not reading.closed for reading in self.readings)

    def assert_nothing_left(self) -> None:
        """Every upload became an object or was discarded."""
        self.assertTrue(self.uploads)
        self.assertTrue(all(upload.ended for upload in self.uploads))

    def before(self, method: str, call: Callable[[], Awaitable[None]], *, skip: int = 0) -> None:
        """Let ``call`` happen once, between the face's decision to call ``store.method`` and the call."""
        original = getattr(self.store, method)
        left = [skip]

        async def both(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == -1:
                await call()
            return await original(*args, **kwargs)

        self.patch(self.store, method, lambda *args, **kwargs: Deferred.fromCoroutine(both(*args, **kwargs)))

    def delay(self, method: str) -> Deferred[None]:
        """Let the next calls of ``store.method`` wait for this."""
        original = getattr(self.store, method)
        gate: Deferred[None] = Deferred()

        def later(*args: Any) -> Deferred[Any]:
            # A Deferred that cannot be cancelled from outside, as the result of a thread.
            result: Deferred[Any] = Deferred(lambda _: None)
            gate.addCallback(lambda _: original(*args).chainDeferred(result))
            return result

        self.patch(self.store, method, later)
        return gate

    @contextmanager
    def failing(self, method: str, error: Exception) -> Iterator[None]:
        """Let every call of ``store.method`` fail."""
        original = getattr(self.store, method)
        setattr(self.store, method, lambda *args, **kwargs: fail(error))
        yield
        setattr(self.store, method, original)

    def _remember(self, method: str, seen: list[Any]) -> None:
        original = getattr(self.store, method)

        def remember(thing: Any) -> Any:
            seen.append(thing)
            if method == "open":
                close, thing.closed = thing.close, False

                def closing() -> None:
                    thing.closed = True
                    close()

                thing.close = closing
            return thing

        setattr(self.store, method, lambda *args: original(*args).addCallback(remember))

    @staticmethod
    def _fields(headers: Mapping[str, str | bytes] | None, token: str | None) -> dict[str, str]:
        fields = {
            name: (value if isinstance(value, bytes) else value.encode()).decode("latin-1")
            for name, value in (headers or {}).items()
        }
        return fields if token is None else {"x-auth-token": token, **fields}
