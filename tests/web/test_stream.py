"""The page's event stream: let in by the cookie, told of upgrades alone, and carried over to newer code."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.web import web_face
from tests.protocols.events.cloud import blocks, has_ended, types
from tests.protocols.events.test_face import EventsCase
from tests.protocols.http.conversation import Conversation
from tests.web.page import ToldHost

PATH = "/ui/events"
PROGRESS = {"step": "prepare", "text": "loading generation 2", "done": 0, "total": 0, "elapsed_s": 0.1}


async def nothing_rolls() -> dict[str, Any]:
    """No change of all nodes was ever made."""
    return {"release": None}


class StreamTests(EventsCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.serve()

    def serve(self) -> None:
        """The page of the cloud's present generation answers from now on."""
        resources = evolve(self.house.resources(self.cloud.database), metrics=WorkerMetrics(), host=ToldHost())
        self.cloud.site.handler = web_face(self.cloud.identity, self.cloud.events, resources, nothing_rolls)

    def listen(self, token: str, *fields: str, site: str = "same-origin") -> Conversation:
        """A page that listens."""
        return self.cloud.ask(PATH, "", f"Cookie: cloudd_ui={token}", f"Sec-Fetch-Site: {site}", *fields)

    async def test_told_of_upgrades(self) -> None:
        """An operator's page hears of each step and of the end, and of nothing else."""
        page = self.listen(self.admin.token)
        await self.cloud.begun(page)
        head = page.heard.partition(b"\r\n\r\n")[0].decode()
        self.assertIn("Content-Type: text/event-stream", head)
        self.assertIn("Content-Security-Policy: default-src 'none'", head)
        self.assertIn("Cache-Control: no-store", head)
        await self.make("box")
        await self.cloud.events.note("upgrade.progress", PROGRESS)
        await self.cloud.events.note("upgrade.ended", {"action": "upgrade", "result": "committed"})
        progress, ended = await self.heard(page, 2)
        self.assertEqual((progress["event"], ended["event"]), ("upgrade.progress", "upgrade.ended"))
        self.assertEqual(json.loads(progress["data"])["text"], "loading generation 2")
        (request,) = self.cloud.site.handled
        self.assertEqual(request.route, PATH)

    async def test_who_is_let_in(self) -> None:
        """The cookie counts, not a header; a tenant, and another site, are refused."""
        for page, status in (
            (self.listen("nonsense"), 401),
            (self.cloud.ask(PATH, self.admin.token), 401),
            (self.listen(self.demo.token), 403),
            (self.listen(self.admin.token, site="same-site"), 403),
            (self.listen(self.admin.token, site="cross-site"), 403),
            (self.cloud.ask(PATH, "", f"Cookie: cloudd_ui={self.admin.token}", method="POST"), 405),
        ):
            self.assertEqual((await self.answered(page))[0], status)
        self.assertEqual(self.cloud.events._hub.count, 0)

    async def test_nothing_more_is_asked_for(self) -> None:
        """What the page hears is not for its query to choose."""
        page = self.cloud.ask(PATH + "?all=0&types=object", "", f"Cookie: cloudd_ui={self.admin.token}")
        await self.cloud.begun(page)
        await self.make("box")
        await self.cloud.events.note("upgrade.progress", PROGRESS)
        await self.heard(page, 1)
        self.assertEqual(types(page), ["upgrade.progress"])

    async def test_resumes(self) -> None:
        """A page that comes back hears what it has missed, once."""
        page = self.listen(self.admin.token)
        await self.cloud.begun(page)
        await self.cloud.events.note("upgrade.progress", PROGRESS)
        (first,) = await self.heard(page, 1)
        page.transport.lose()
        await self.cloud.events.note("upgrade.ended", {"result": "committed"})
        again = self.listen(self.admin.token, f"Last-Event-ID: {first['id']}")
        await self.heard(again, 1)
        self.assertEqual(types(again), ["upgrade.ended"])

    async def test_goes_on_in_newer_code(self) -> None:
        """A swap moves the stream: the same connection hears what comes after it, without a gap."""
        page = self.listen(self.admin.token)
        await self.cloud.begun(page)
        await self.cloud.events.note("upgrade.progress", PROGRESS)
        await self.heard(page, 1)
        old = self.cloud.events
        self.cloud.new_generation()
        self.serve()
        request = page.connection.request
        assert request is not None
        self.assertTrue(page.connection.begin_again(request))
        old.retire()
        await self.cloud.events.note("upgrade.ended", {"result": "committed"})
        await self.heard(page, 2)
        self.assertEqual(types(page), ["upgrade.progress", "upgrade.ended"])
        self.assertEqual((len(page.heard.split(b"HTTP/1.1 200")), has_ended(page)), (2, False))

    async def test_ends_with_the_token(self) -> None:
        """Who logs out hears nothing more; the page is told to log in when it comes back."""
        page = self.listen(self.admin.token)
        await self.cloud.begun(page)
        await self.identity.revoke(self.admin.access, self.admin.token)
        await self.cloud.until(lambda: has_ended(page), "the end")
        self.assertEqual(blocks(page), [])
        self.assertEqual((await self.answered(self.listen(self.admin.token)))[0], 401)
