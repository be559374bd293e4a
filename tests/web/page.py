"""The page over the real identity service and a host whose answers a test decides."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.events import Events
from cloudd.web import web_face
from storage import MemoryStore
from tests.http_client import Answer, HTTPClient
from tests.protocols.rest.identity.cloud import CloudTests

OWN = {"Sec-Fetch-Site": "same-origin"}


class ToldHost:
    """``cloudd.interfaces.application.Host``: answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answers: dict[str, Deferred[Any]] = {}

    def _answer(self, name: str, *more: Any) -> Deferred[Any]:
        self.asked.append((name, *more) if more else name)
        return self.answers.pop(name, None) or succeed({"told": name})

    def health(self) -> Deferred[dict[str, Any]]:
        return self._answer("health")

    def metrics(self) -> Deferred[bytes]:
        return self._answer("metrics")

    def status(self) -> Deferred[dict[str, Any]]:
        return self._answer("status")

    def code(self) -> Deferred[dict[str, Any]]:
        return self._answer("code")

    def rates(self, without: str = "") -> Deferred[dict[str, Any]]:
        return self._answer("rates", without)

    def audit(self, limit: int) -> Deferred[dict[str, Any]]:
        return self._answer("audit", limit)

    def plan(self) -> Deferred[dict[str, Any]]:
        return self._answer("plan")


class PageTests(CloudTests):
    """
    Base of the tests.

    :ivar page: the API port, as far as it is the page
    """

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.host = ToldHost()
        self.told_rolling: dict[str, Any] = {"release": None}
        self.resources = evolve(self.resources, host=self.host)
        self.resources = evolve(self.resources, metrics=WorkerMetrics())
        self.events = Events(self.resources, self.identity, MemoryStore(lambda: 0.0))
        self.page = HTTPClient(web_face(self.identity, self.events, self.resources, self.rolling))

    async def rolling(self) -> dict[str, Any]:
        """How far the latest change of all nodes is."""
        return self.told_rolling

    async def enter(self, user: str = "admin", **form: str) -> Answer:
        """The log-in form, as the page sends it."""
        document = {"user": user, "password": self.first[f"{user}_password"], "project": user, **form}
        return await self.page.json("POST", "/ui/api/login", document, headers=OWN)

    async def cookie(self) -> dict[str, str]:
        """The headers of an operator's browser."""
        answer = await self.enter()
        self.assertEqual(answer.status, 200, answer.text)
        return {"Cookie": answer.headers["set-cookie"].partition(";")[0], **OWN}

    async def get(self, path: str, **headers: str) -> Answer:
        """``GET`` below ``/ui``; further headers have ``_`` for ``-``."""
        return await self.page.request(
            "GET", f"/ui{path}", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
