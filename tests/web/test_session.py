"""Log-in, log-out, and who sees the page."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import OperationalError

from cloudd.identity import Identity
from cloudd.web import web_face
from cloudd.web._session import LoginForm, cookie
from tests.http_client import HTTPClient
from tests.web.page import OWN, PageTests

DATA = ("status", "health", "rates", "audit", "plan")


class LoginTests(PageTests):
    async def test_operator(self) -> None:
        """Who has the role admin gets a cookie that no script, no other site and no other path sees, and the facts."""
        answer = await self.enter()
        self.assertEqual(answer.status, 200)
        name, *attributes = answer.headers["set-cookie"].split("; ")
        self.assertRegex(name, "^cloudd_ui=[A-Za-z0-9_-]{50,}$")
        self.assertEqual(attributes, ["HttpOnly", "SameSite=Strict", "Path=/ui"])
        found = answer.json()
        self.assertEqual((found["user"], found["domain"], found["project"]), ("admin", "Default", "admin"))
        lifetime_s = found["expires_at"] - self.clock.seconds()
        self.assertEqual(round(lifetime_s), self.resources.settings.identity.token_lifetime_s)
        self.assertNotIn(name.partition("=")[2], answer.text)

    async def test_wrong(self) -> None:
        """Each wrong part gets the same words, and no cookie."""
        wrong: list[dict[str, str]] = [
            {"password": "wrong"},
            {"user": "nobody", "password": "x"},
            {"domain": "other"},
            {"project": "other"},
            {"project": "demo"},
        ]
        for form in wrong:
            document = {"user": "admin", "password": self.first["admin_password"], "project": "admin", **form}
            answer = await self.page.json("POST", "/ui/api/login", document, headers=OWN)
            self.assertEqual(answer.status, 401, form)
            self.assertEqual(answer.json()["cause"], "User, password, domain or project is wrong.")
            self.assertNotIn("set-cookie", answer.headers)

    async def test_tenant(self) -> None:
        """Who is known but no operator is told the reason; the token is of no use to anybody."""
        answer = await self.enter("demo")
        self.assertEqual(answer.status, 403)
        self.assertIn("demo does not have the role admin in project demo", answer.json()["cause"])
        self.assertNotIn("set-cookie", answer.headers)
        revoked = self.database.engine.connect().exec_driver_sql("select count(*) from identity_revocation").scalar()
        self.assertEqual(revoked, 1)

    async def test_no_form(self) -> None:
        """What the page does not send is refused before anybody is asked."""
        form = {"user": "admin", "password": "x"}
        for body, kind, status in (
            (b"user=admin&password=x", "application/x-www-form-urlencoded", 415),
            (b"{}", "text/plain", 415),
            (b"{}", "application/json", 400),
            (b"[]", "application/json", 400),
            (b'{"user": "a", "password": "b", "more": 1}', "application/json", 400),
            (b'{"user": 1, "password": "b"}', "application/json", 400),
            (b'{"user": "a", "password": "' + b"x" * 20_000 + b'"}', "application/json", 413),
        ):
            answer = await self.page.request("POST", "/ui/api/login", headers={"Content-Type": kind, **OWN}, body=body)
            self.assertEqual(answer.status, status, body[:80])
        answer = await self.page.json("POST", "/ui/api/login", {**form, "user": ""}, headers=OWN)
        self.assertIn(answer.status, {400, 401})

    async def test_unavailable(self) -> None:
        """A database that cannot be read: 503, without its words."""
        self.database.failing = OperationalError("select secret", {}, sqlite3.OperationalError("disk I/O error"))
        answer = await self.enter()
        self.assertEqual(answer.status, 503)
        self.assertNotIn("disk", answer.text)

    async def test_over_tls(self) -> None:
        """A cookie that was got over TLS goes over nothing else."""
        self.page.factory.secure = True
        self.assertTrue((await self.enter()).headers["set-cookie"].endswith("; Secure"))

    def test_secret(self) -> None:
        """The form does not show its password."""
        self.assertNotIn("hidden", repr(LoginForm(user="u", password="hidden")))

    def test_secure(self) -> None:
        """Over TLS the cookie goes over TLS alone; an empty one ends it."""
        self.assertEqual(cookie("t", secure=True)[1], b"cloudd_ui=t; HttpOnly; SameSite=Strict; Path=/ui; Secure")
        self.assertEqual(cookie("", secure=False)[1], b"cloudd_ui=; HttpOnly; SameSite=Strict; Path=/ui; Max-Age=0")


class AccessTests(PageTests):
    async def statuses(self, headers: dict[str, str]) -> set[int]:
        """The statuses of all data."""
        found = {(await self.page.request("GET", f"/ui/api/{name}", headers=headers)).status for name in DATA}
        self.assertEqual(self.host.asked if found != {200} else [], [])
        return found

    async def test_needs_a_cookie(self) -> None:
        """Without a token, with a broken one, with one in a header, or with two: nothing is told."""
        token = await self.log_in()
        mine = await self.cookie()
        for headers in (
            {},
            {"Cookie": "cloudd_ui=broken"},
            {"Cookie": "cloudd_ui="},
            {"Cookie": f"other={token}"},
            {"X-Auth-Token": token},
            {"Cookie": f"{mine['Cookie']}; cloudd_ui={token}"},
        ):
            self.assertEqual(await self.statuses({**headers, **OWN}), {401}, headers)
        self.assertEqual(await self.statuses({"Cookie": f"a=b; {mine['Cookie']};c=d"}), {200})

    async def test_only_operators(self) -> None:
        """A tenant's token in the cookie opens nothing, and is told why."""
        headers = {"Cookie": f"cloudd_ui={await self.log_in('demo')}", **OWN}
        self.assertEqual(await self.statuses(headers), {403})
        answer = await self.page.request("GET", "/ui/api/status", headers=headers)
        self.assertIn("role admin", answer.json()["cause"])
        session = (await self.page.request("GET", "/ui/api/session", headers=headers)).json()
        self.assertEqual(session["session"], None)
        self.assertIn("role admin", session["cause"])

    async def test_session(self) -> None:
        """Who is logged in; nobody is no error."""
        nobody = await self.get("/api/session")
        self.assertEqual((nobody.status, nobody.json()), (200, {"session": None, "cause": ""}))
        answer = await self.page.request("GET", "/ui/api/session", headers=await self.cookie())
        self.assertEqual(answer.json()["session"]["user"], "admin")

    async def test_expires(self) -> None:
        """The token's end is the end of the session."""
        mine = await self.cookie()
        self.assertEqual(await self.statuses(mine), {200})
        self.host.asked.clear()
        self.clock.rightNow += self.resources.settings.identity.token_lifetime_s + 1
        self.assertEqual(await self.statuses(mine), {401})

    async def test_log_out(self) -> None:
        """The token is revoked and the cookie ended; a second time, and without one, nothing is wrong."""
        mine = await self.cookie()
        for headers in (mine, mine, OWN):
            answer = await self.page.request("POST", "/ui/api/logout", headers=headers, body=b"{}")
            self.assertEqual(answer.status, 204)
            self.assertIn("cloudd_ui=; ", answer.headers["set-cookie"])
            self.assertIn("Max-Age=0", answer.headers["set-cookie"])
            self.assertEqual(await self.statuses(mine), {401})

    async def test_unavailable(self) -> None:
        """When a token cannot be checked it is not said to be wrong: the page stays."""
        mine = await self.cookie()
        fresh = Identity(self.resources)  # another worker, which has not seen the token yet
        fresh.start({})
        self.addCleanup(fresh.retire)
        page = HTTPClient(web_face(fresh, self.events, self.resources, self.rolling))
        self.database.failing = OperationalError("select secret", {}, sqlite3.OperationalError("disk I/O error"))
        for method, path in (("GET", "session"), ("GET", "status"), ("POST", "logout")):
            body = b"{}" if method == "POST" else None
            answer = await page.request(method, f"/ui/api/{path}", headers=mine, body=body)
            self.assertEqual(answer.status, 503, path)
            self.assertNotIn("disk", answer.text)
            self.assertNotIn("set-cookie", answer.headers)
        self.database.failing = None
        self.assertEqual((await page.request("GET", "/ui/api/status", headers=mine)).status, 200)
