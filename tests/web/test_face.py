"""Routes of the page: its files, its data, and what every answer says to a browser."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed

from cloudd.control import STEPS
from cloudd.web._face import _PATIENCE_S
from tests.web.page import OWN, PageTests

FILES = {
    "": "text/html; charset=utf-8",
    "/": "text/html; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/page.css": "text/css; charset=utf-8",
    "/icon.svg": "image/svg+xml",
}
DATA = ("status", "health", "rates", "audit", "plan")


class FileTests(PageTests):
    async def test_files(self) -> None:
        """Anybody gets them, with their types; a browser that has one is told that it is still right."""
        for path, kind in FILES.items():
            answer = await self.get(path)
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, kind), path)
            self.assertEqual(answer.headers["cache-control"], "no-cache")
            tag = answer.headers["etag"]
            for known in (tag, f'"other", W/{tag}'):
                again = await self.get(path, If_None_Match=known)
                self.assertEqual((again.status, again.body), (304, b""))
            self.assertEqual((await self.get(path, If_None_Match='"other"')).status, 200)
            head = await self.page.request("HEAD", f"/ui{path}")
            self.assertEqual((head.status, head.headers["content-length"]), (200, str(len(answer.body))))
        self.assertIn(b"<title>cloudd", (await self.get("")).body)

    async def test_other_methods(self) -> None:
        """Files are only read; each call takes its own method."""
        answer = await self.page.request("POST", "/ui", body=b"x")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))
        for method, path in (("DELETE", "/ui/api/status"), ("GET", "/ui/api/login"), ("HEAD", "/ui/api/logout")):
            self.assertEqual((await self.page.request(method, path, headers=OWN)).status, 405, path)

    async def test_elsewhere(self) -> None:
        """There is nothing else, and what was asked for is no label of the metrics."""
        for path in ("/other", "/../etc/passwd", "/page.html", "/_face.py", "/api", "/api/statu", "/page.css/"):
            answer = await self.get(path)
            self.assertEqual((answer.status, answer.headers["content-type"]), (404, "application/json"), path)
        self.assertEqual({request.route for request in self.page.site.requests}, {"unknown"})


class AnswerTests(PageTests):
    async def test_every_answer_is_protected(self) -> None:
        """Files, data, refusals: run and load nothing from elsewhere, guess no type, be in no frame."""
        cookie = await self.cookie()
        answers = [await self.get(path) for path in (*FILES, "/other")]
        answers += [await self.page.request("GET", f"/ui/api/{name}", headers=cookie) for name in DATA]
        answers += [await self.get("/api/status"), await self.get("/api/session"), await self.enter(password="x")]
        answers += [await self.page.request("POST", "/ui/api/logout", headers=cookie, body=b"{}")]
        for answer in answers:
            policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
            self.assertEqual((policy["default-src"], policy["script-src"], policy["style-src"]),
                             ("'none'", "'self'", "'self'"))  # fmt: skip
            self.assertEqual((policy["frame-ancestors"], policy["base-uri"], policy["form-action"]),
                             ("'none'", "'none'", "'self'"))  # fmt: skip
            self.assertNotIn("unsafe", answer.headers["content-security-policy"])
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
            self.assertEqual(answer.headers["x-frame-options"], "DENY")
            self.assertEqual(answer.headers["cross-origin-resource-policy"], "same-origin")
            self.assertNotIn("access-control-allow-origin", answer.headers)

    async def test_data(self) -> None:
        """What the host says, never kept by a cache."""
        cookie = await self.cookie()
        for name in DATA:
            answer = await self.page.request("GET", f"/ui/api/{name}", headers=cookie)
            self.assertEqual((answer.status, answer.json()["told"]), (200, name))
            self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(self.host.asked, ["status", "health", ("rates", "/ui"), ("audit", 50), "plan"])
        routes = [request.route for request in self.page.site.requests]
        self.assertEqual(routes, ["/ui/api/login", *(f"/ui/api/{name}" for name in DATA)])

    async def test_all_nodes(self) -> None:
        """How far the latest change of all nodes is, for who is logged in."""
        self.told_rolling = {"id": "t", "nodes": [], "release": None}
        answer = await self.page.request("GET", "/ui/api/rolling", headers=await self.cookie())
        self.assertEqual((answer.status, answer.json()), (200, self.told_rolling))
        self.assertEqual((await self.page.request("GET", "/ui/api/rolling")).status, 401)

    async def test_status_has_the_page(self) -> None:
        """With the status come the host's time, the steps of an upgrade, and which page this is."""
        page = (await self.page.request("GET", "/ui/api/status", headers=await self.cookie())).json()["page"]
        self.assertEqual((page["time"], page["steps"]), (self.clock.seconds(), list(STEPS)))
        self.assertRegex(page["version"], "^[0-9a-f]{16}$")

    async def test_audit_limit(self) -> None:
        """1 to 1000 entries; anything else is refused."""
        cookie = await self.cookie()
        for limit in ("0", "1001", "-1", "x", "1" * 5000, "0000000019999", "", "\u0661".encode().decode("latin-1")):
            answer = await self.page.request("GET", f"/ui/api/audit?limit={limit}", headers=cookie)
            self.assertEqual(answer.status, 400, limit)
        self.assertEqual(self.host.asked, [])
        await self.page.request("GET", "/ui/api/audit?limit=1000", headers=cookie)
        self.assertEqual(self.host.asked, [("audit", 1000)])

    async def test_host_cannot_be_asked(self) -> None:
        """503 with the cause, also when the host says nothing at all."""
        cookie = await self.cookie()
        self.host.answers["status"] = fail(OSError("no answer within 3 s"))
        answer = await self.page.request("GET", "/ui/api/status", headers=cookie)
        self.assertEqual((answer.status, answer.json()["cause"]),
                         (503, "The host could not be asked: no answer within 3 s."))  # fmt: skip
        self.host.answers["plan"] = Deferred()
        asking = Deferred.fromCoroutine(self.page.request("GET", "/ui/api/plan", headers=cookie))
        self.clock.advance(_PATIENCE_S + 1)
        self.assertEqual((await asking).status, 503)

    async def test_unforeseen(self) -> None:
        """A fault of our own is logged, and answered without its details."""
        cookie = await self.cookie()
        self.host.answers["status"] = succeed([])
        answer = await self.page.request("GET", "/ui/api/status", headers=cookie)
        self.assertEqual(answer.status, 500)
        self.assertNotIn("list", answer.text)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
