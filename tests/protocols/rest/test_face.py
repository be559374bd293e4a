"""What every REST face does around its routes."""

from __future__ import annotations

from typing import Any, cast
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from werkzeug.routing import Rule

from cloudd.identity import (
    Access,
    BadValue,
    Conflict,
    Forbidden,
    Identity,
    IdentityError,
    IdentityUnavailable,
    InvalidToken,
    NotFound,
    NotOffered,
    Unauthorized,
)
from cloudd.protocols.rest import (
    Answer,
    Call,
    Document,
    FaceFacts,
    Fault,
    RestFace,
    bad_request,
    not_found,
    route,
    route_table,
)
from cloudd.protocols.rest._routes import routes_of
from cloudd.protocols.rest._routing import _app_of, rules_of
from tests.http_client import HTTPClient

ACCESS = Access(
    user_id="u",
    user_name="U",
    user_domain_id="default",
    user_domain_name="Default",
    project_id="p",
    project_name="P",
    project_domain_id="default",
    project_domain_name="Default",
)


class KnownTokens:
    """As much of ``Identity`` as a face needs: ``good`` is in the cache, ``slow`` has to be asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def cached(self, token: str) -> Access | None:
        return ACCESS if token == "good" else None

    async def authenticate_token(self, token: str) -> Access:
        self.asked.append(token)
        if token == "slow":
            return ACCESS
        raise InvalidToken("the token has expired; log in again")


class Widget(Document):
    """A widget to make."""

    size: int


class WidgetRoutes:
    """Routes of a made-up service."""

    def __init__(self) -> None:
        self.raises: BaseException | None = None
        self.waiting: Deferred[None] | None = None
        self.made: list[int] = []

    @route("GET", "/v1/widgets")
    async def list_widgets(self, call: Call) -> Answer:
        """All."""
        if self.waiting is not None:
            await self.waiting
        if self.raises is not None:
            raise self.raises
        return Answer(200, {"user": call.access.user_id, "colour": call.query.get("colour")})

    @route("POST", "/v1/widgets")
    async def make(self, call: Call) -> Answer:
        """One more."""
        wanted = await call.read(Widget)
        if self.waiting is not None:
            await self.waiting
        self.made.append(wanted.size)
        return Answer(201, b'{"ready":"made"}', ((b"Location", call.links.to("v1", "w/1").encode()),))

    @route("DELETE", "/v1/widgets/{widget_id}")
    @route("PUT", "/v1/widgets/{widget_id}/parts/{part_id}")
    async def change(self, call: Call, widget_id: str, part_id: str = "") -> Answer:
        """Gone, or changed."""
        return Answer(204, None, ((b"X-Ids", f"{widget_id},{part_id}".encode()),))

    @route("GET", "/open", token=False)
    async def open(self, call: Call) -> Answer:
        """For everybody."""
        return Answer(200, {"token": call.access.user_id if call.query.present("look") else "none"})


class FaceTests(TestCase):
    """``RestFace``."""

    def setUp(self) -> None:
        self.tokens = KnownTokens()
        self.routes = WidgetRoutes()
        facts = FaceFacts(
            prefix="/widget", base="http://cloud/widget", keystone="http://cloud/identity/v3", max_json_bytes=100
        )
        absent = {"/v1/gadgets": "Gadgets"}
        self.client = HTTPClient(RestFace(facts, cast(Identity, self.tokens), [self.routes], absent))

    async def ask(self, method: str, path: str, token: str | None = "good", body: bytes | None = None) -> Any:
        headers = {} if token is None else {"X-Auth-Token": token}
        return await self.client.request(method, f"/widget{path}", headers=headers, body=body)

    async def test_answer(self) -> None:
        """Status, document and headers of the route; facts for the log on the request."""
        answer = await self.ask("GET", "/v1/widgets?colour=blue")
        self.assertEqual((answer.status, answer.json()), (200, {"user": "u", "colour": "blue"}))
        self.assertEqual((answer.headers["content-type"], answer.headers["vary"]), ("application/json", "X-Auth-Token"))
        request = self.client.site.requests[0]
        self.assertEqual((request.route, request.project_id), ("/widget/v1/widgets", "p"))
        self.assertEqual(self.client.site.ended, [request])

    async def test_token_from_memory_and_asked(self) -> None:
        """A cached token costs no question; another is asked for; a wrong one is 401 with its cause."""
        await self.ask("GET", "/v1/widgets")
        self.assertEqual(self.tokens.asked, [])
        self.assertEqual((await self.ask("GET", "/v1/widgets", "slow")).status, 200)
        answer = await self.ask("GET", "/v1/widgets", "old")
        self.assertEqual(answer.status, 401)
        self.assertIn("(the token has expired; log in again.)", answer.json()["error"]["message"])
        self.assertEqual(answer.headers["www-authenticate"], 'Keystone uri="http://cloud/identity/v3"')
        self.assertEqual(self.tokens.asked, ["slow", "old"])

    async def test_open_route(self) -> None:
        """A route for everybody looks at no token; asking it who is there is a mistake in the code, so 500."""
        self.assertEqual((await self.ask("GET", "/open", None)).json(), {"token": "none"})
        self.assertEqual((await self.ask("GET", "/open", "old")).status, 200)
        self.assertEqual((await self.ask("GET", "/open?look")).status, 500)
        self.assertEqual(len(self.flushLoggedErrors(AssertionError)), 1)

    async def test_body(self) -> None:
        """A body is checked and limited; the answer may be JSON that is ready."""
        answer = await self.ask("POST", "/v1/widgets", body=b'{"size": 3}')
        self.assertEqual((answer.status, answer.json()), (201, {"ready": "made"}))
        self.assertEqual(answer.headers["location"], "http://cloud/widget/v1/w%2F1")
        for body, status in ((b'{"size": "3"}', 400), (b"{", 400), (b"", 400), (b" " * 101, 413)):
            self.assertEqual((await self.ask("POST", "/v1/widgets", body=body)).status, status)
        self.assertEqual(self.routes.made, [3])

    async def test_truncated_body(self) -> None:
        """A client that stops in the middle of a body has made nothing."""
        connection = self.client.connect()
        connection.send(
            b"POST /widget/v1/widgets HTTP/1.1\r\nHost: x\r\nX-Auth-Token: good\r\nContent-Length: 11\r\n\r\n{"
        )
        connection.leave()
        self.assertEqual(self.routes.made, [])
        self.assertEqual((await self.ask("GET", "/v1/widgets")).status, 200)

    async def test_stopped_body(self) -> None:
        """A client that stops within its body is told so, and broken chunks get their cause."""
        head = "POST /widget/v1/widgets HTTP/1.1\r\nHost: x\r\nX-Auth-Token: good\r\n"
        connection = self.client.connect()
        connection.send(f'{head}Content-Length: 20\r\n\r\n{{"size":'.encode())
        self.client.clock.pump([1] * 125)
        answer = await connection.answer()
        self.assertEqual(answer.status, 408, answer.text)
        connection = self.client.connect()
        connection.send(f"{head}Transfer-Encoding: chunked\r\n\r\nxyz\r\n".encode())
        answer = await connection.answer()
        self.assertEqual(answer.status, 400)
        self.assertIn("hexadecimal", answer.json()["error"]["message"])

    async def test_parameters(self) -> None:
        """Parts of the path, decoded once; an encoded slash stays inside its part."""
        for path, expected in (
            ("/v1/widgets/a%20b/parts/c", "a b,c"),
            ("/v1/widgets/a%2Fb/parts/%2525", "a%2Fb,%25"),
        ):
            answer = await self.ask("PUT", path)
            self.assertEqual((answer.status, answer.headers["x-ids"], answer.body), (204, expected, b""))
        self.assertEqual((await self.ask("DELETE", "/v1/widgets/x/")).status, 204)
        for path in ("/v1/widgets/a%00", "/v1/widgets/%00/parts/b", "/v1/widgets/a/parts/b%00"):
            answer = await self.ask("PUT" if "parts" in path else "DELETE", path)
            self.assertEqual(answer.status, 404)
            self.assertIn("U+0000", answer.json()["error"]["message"])
        self.assertEqual((await self.ask("PUT", "/v1/widgets/a//c")).status, 404)
        route_name = self.client.site.requests[0].route
        self.assertEqual(route_name, "/widget/v1/widgets/{widget_id}/parts/{part_id}")

    async def test_faults(self) -> None:
        """Refusals of the route and of the identity service, each with its status."""
        cases: list[tuple[Exception, int]] = [
            (bad_request("no"), 400),
            (not_found("widget", "x"), 404),
            (Fault(418, "short and stout"), 418),
            (Fault(599, "odd"), 599),
            (BadValue("name", "no"), 400),
            (Unauthorized("wrong password"), 401),
            (Forbidden("make_widget"), 403),
            (NotFound("widget", "x"), 404),
            (Conflict("widget", "taken"), 409),
            (NotOffered("later"), 501),
            (IdentityUnavailable("busy"), 503),
            (IdentityError("other"), 400),
        ]
        for error, status in cases:
            self.routes.raises = error
            answer = await self.ask("GET", "/v1/widgets")
            fault = answer.json()["error"]
            self.assertEqual((answer.status, fault["code"]), (status, status), error)
            self.assertTrue(fault["title"] and fault["message"])
            self.assertNotIn("wrong password", fault["message"])

    async def test_accident(self) -> None:
        """500 with the id under which the log has the traceback, and nothing of the error itself."""
        self.routes.raises = ValueError("secret detail")
        answer = await self.ask("GET", "/v1/widgets")
        self.assertEqual(answer.status, 500)
        self.assertIn(answer.headers["x-openstack-request-id"], answer.json()["error"]["message"])
        self.assertNotIn("secret", answer.text)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_nowhere(self) -> None:
        """404, 405 with ``Allow``, and 501 for what is known to be absent."""
        self.assertEqual((await self.ask("GET", "/v1/nothing")).json()["error"]["code"], 404)
        answer = await self.ask("PATCH", "/v1/widgets")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, POST"))
        answer = await self.ask("POST", "/v1/gadgets/7/screws", None)
        self.assertEqual(answer.status, 501)
        self.assertIn("Gadgets", answer.json()["error"]["message"])

    async def test_client_leaves(self) -> None:
        """A reading call is given up when its client leaves; one that changes something ends its work."""
        for method, body, made in (("GET", b"", []), ("POST", b'{"size": 5}', [5])):
            self.routes.waiting = waiting = Deferred[None]()
            connection = self.client.connect()
            head = f"{method} /widget/v1/widgets HTTP/1.1\r\nHost: x\r\nX-Auth-Token: good\r\n"
            connection.send(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            connection.leave()
            if not waiting.called:
                waiting.callback(None)
            self.assertEqual(self.routes.made, made)
        self.assertEqual(len(self.client.site.ended), 2)
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_keep_alive(self) -> None:
        """Refusals leave the connection usable, also with a body that nobody read."""
        connection = self.client.connect()
        headers = {"X-Auth-Token": "good"}
        answer = await connection.request("POST", "/widget/v1/widgets", body=b'{"size": 1}')
        self.assertEqual(answer.status, 401)
        for _ in range(2):
            answer = await connection.request("GET", "/widget/v1/widgets", headers=headers)
            self.assertEqual(answer.status, 200)

    def test_no_urls_are_made_of_rules(self) -> None:
        """What werkzeug compiles for that takes longer than all the rest, while new code loads beside clients."""
        rules = rules_of("/urls", [declared for declared, _ in routes_of(WidgetRoutes)], ["/absent"])
        with mock.patch.object(Rule, "_compile_builder", side_effect=AssertionError("compiled")):
            app = _app_of(rules)
        (rule,) = app.url_map.iter_rules("GET /v1/widgets")
        self.assertRaises(TypeError, rule.build, {})

    def test_table(self) -> None:
        """The routes as declared, in the order they stand."""
        expected = [
            ("GET", "/widget/v1/widgets", True),
            ("POST", "/widget/v1/widgets", True),
            ("DELETE", "/widget/v1/widgets/{widget_id}", True),
            ("PUT", "/widget/v1/widgets/{widget_id}/parts/{part_id}", True),
            ("GET", "/widget/open", False),
        ]
        self.assertEqual(route_table([WidgetRoutes], "/widget"), expected)
