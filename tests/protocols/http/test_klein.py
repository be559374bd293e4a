"""What klein needs of our request, and what its routes may do with it."""

from __future__ import annotations

from typing import Any

from klein import Klein
from klein._interfaces import IKleinRequest
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface

from cloudd.protocols.http import KleinApp, Request

from .conversation import TEXT, Conversation, get, post, text


class Routes:
    """An app of each kind of route."""

    app = Klein()

    def __init__(self) -> None:
        self.waiting: Deferred[None] = Deferred()
        self.events: list[str] = []

    @app.route("/text")
    def text(self, _request: Any) -> str:
        return "grüß"

    @app.route("/items/<item>/<int:number>", methods=["GET", "DELETE"])
    async def item(self, request: Any, item: str, number: int) -> bytes:
        request.setResponseCode(202)
        request.setHeader("X-Item", item)
        request.setHeader(b"x-item", item.encode() + b"!")
        request.setHeader("Content-Length", "1000")
        return b"%d" % number

    @app.route("/respond", methods=["POST"])
    async def respond(self, request: Request) -> None:
        request.respond(201, [TEXT], await request.body.read(100))

    @app.route("/stream")
    async def stream(self, request: Request) -> None:
        request.start(200, [TEXT])
        request.write(b"a")
        request.finish()

    @app.route("/wait", methods=["GET", "POST"])
    async def wait(self, request: Request) -> None:
        try:
            await self.waiting
        except CancelledError:
            self.events.append("cancelled")
            raise
        self.events.append("done")
        request.respond(200, [TEXT], b"done")

    @app.route("/accident")
    def accident(self, _request: Any) -> None:
        raise RuntimeError("secret")

    @app.route("/late-accident")
    async def late_accident(self, request: Request) -> None:
        request.start(200)
        raise RuntimeError("secret")

    @app.route("/lookup")
    def lookup(self, _request: Any) -> None:
        raise LookupError

    @app.handle_errors(LookupError)  # type: ignore[arg-type]
    def not_found(self, request: Any, _failure: Any) -> bytes:
        request.setResponseCode(404)
        return b"mapped"

    @app.route("/url")
    def url(self, request: Any) -> str:
        return str(IKleinRequest(request).url_for("item", {"item": "a", "number": 1}, force_external=True))

    @app.route("/at-once/<name>/x", methods=["GET", "POST"])
    async def at_once(self, request: Request, name: str) -> None:
        url = str(IKleinRequest(request).url_for("item", {"item": name, "number": 1}, force_external=True))
        paths = b"|".join(request.prepath) + b" " + b"|".join(request.postpath)
        request.respond(200, [TEXT], request.method + b" " + paths + b" " + url.encode())

    @app.route("/pieces")
    async def pieces(self, request: Any) -> None:
        request.setHeader(b"Content-Type", b"text/plain")
        request.write(b"a")
        request.write(b"b")

    @app.route("/lost/<when>")
    async def lost(self, request: Request, when: str) -> None:
        if when == "later":
            await self.waiting
        elif when == "after":
            request.respond(200, [TEXT], b"said")
        raise LookupError

    @app.route("/result")
    async def result(self, _request: Any) -> str:
        await self.waiting
        return "grüß"

    @app.route("/tree/", branch=True)
    def tree(self, request: Any) -> bytes:
        return b"|".join(request.prepath) + b" " + b"|".join(request.postpath)


class KleinTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.routes = Routes()
        self.conversation = Conversation()
        self.conversation.site.handler = KleinApp(self.routes.app)

    def ask(self, path: bytes, *, method: bytes = b"GET") -> bytes:
        self.conversation.transport.take()
        self.conversation.say(get(path, method=method))
        return self.conversation.heard

    def test_what_a_route_returns(self) -> None:
        self.assertTrue(self.ask(b"/text").endswith(b"Content-Length: 6\r\n\r\ngr\xc3\xbc\xc3\x9f"))

    def test_status_headers_and_parameters(self) -> None:
        """A header replaces an earlier one of its name; lengths are the connection's."""
        answer = self.ask(b"/items/a%20b/17")
        self.assertEqual(answer[:12], b"HTTP/1.1 202")
        self.assertEqual(answer.lower().count(b"x-item"), 1)
        self.assertIn(b"\r\nx-item: a b!\r\n", answer)
        self.assertTrue(answer.endswith(b"Content-Length: 2\r\n\r\n17"))

    def test_our_own_answer(self) -> None:
        self.conversation.say(post(b"/respond", b"hallo"))
        self.assertEqual(self.conversation.heard, text(b"201 Created", b"hallo"))

    def test_streamed(self) -> None:
        self.assertTrue(self.ask(b"/stream").endswith(b"1\r\na\r\n0\r\n\r\n"))

    def test_unknown_path_and_method(self) -> None:
        self.assertEqual(self.ask(b"/nowhere")[:12], b"HTTP/1.1 404")
        self.assertEqual(self.ask(b"/items/a/1", method=b"PUT")[:12], b"HTTP/1.1 405")

    def test_head(self) -> None:
        answer = self.ask(b"/items/a/1", method=b"HEAD")
        self.assertTrue(answer.endswith(b"Content-Length: 1\r\n\r\n"))

    def test_not_utf_8(self) -> None:
        self.assertEqual(self.ask(b"/items/%ff/1")[:12], b"HTTP/1.1 400")
        self.flushLoggedErrors(UnicodeDecodeError)

    def test_encoded_slash_is_no_separator(self) -> None:
        """Nor is a NUL decoded; everything else is, once."""
        self.assertIn(b"x-item: a%2Fb%00c%41d!", self.ask(b"/items/a%2fb%00c%2541%64/1"))
        self.assertEqual(self.ask(b"/items%2fa/1")[:12], b"HTTP/1.1 404")

    def test_mapped_error(self) -> None:
        answer = self.ask(b"/lookup")
        self.assertEqual((answer[:12], answer[-6:]), (b"HTTP/1.1 404", b"mapped"))

    def test_accidents(self) -> None:
        answer = self.ask(b"/accident")
        self.assertEqual(answer[:12], b"HTTP/1.1 500")
        self.assertNotIn(b"secret", answer)
        self.ask(b"/late-accident")
        self.assertTrue(self.conversation.transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.assertEqual(len(self.conversation.site.over), 2)

    def test_mapper(self) -> None:
        self.assertTrue(self.ask(b"/url").endswith(b"http://cloud.example:5000/items/a/1"))
        self.assertTrue(self.ask(b"/url").endswith(b"http://cloud.example:5000/items/a/1"))

    def test_at_once(self) -> None:
        """A coroutine that does not wait sees of its request what any route sees; each time, and for each method."""
        for method in (b"GET", b"POST", b"GET"):
            for name in (b"a", b"b"):
                answer = self.ask(b"/at-once/" + name + b"/x", method=method)
                said = method + b" at-once|" + name + b"|x  http://cloud.example:5000/items/" + name + b"/1"
                self.assertTrue(answer.endswith(said), answer)
        self.assertEqual(self.ask(b"/at-once/a/x", method=b"PUT")[:12], b"HTTP/1.1 405")
        self.assertEqual(len(self.conversation.site.over), 7)

    def test_answer_in_pieces(self) -> None:
        """What was written without an answer being started is the answer."""
        self.assertTrue(self.ask(b"/pieces").endswith(b"Content-Length: 2\r\n\r\nab"))

    def test_mapped_error_of_a_coroutine(self) -> None:
        """Whether it has waited or not."""
        self.assertTrue(self.ask(b"/lost/now").endswith(b"mapped"))
        self.assertEqual(self.ask(b"/lost/later"), b"")
        self.routes.waiting.callback(None)
        self.assertTrue(self.conversation.heard.endswith(b"mapped"))

    def test_error_behind_the_answer(self) -> None:
        """It is for the log only."""
        self.assertTrue(self.ask(b"/lost/after").endswith(b"said"))
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
        self.assertTrue(self.ask(b"/text").endswith(b"gr\xc3\xbc\xc3\x9f"))

    def test_result_of_a_coroutine_that_waited(self) -> None:
        self.assertEqual(self.ask(b"/result"), b"")
        self.routes.waiting.callback(None)
        self.assertTrue(self.conversation.heard.endswith(b"gr\xc3\xbc\xc3\x9f"))

    def test_long_path(self) -> None:
        """It is found, though not remembered."""
        for _ in range(2):
            self.assertIn(b"x" * 300, self.ask(b"/at-once/" + b"x" * 300 + b"/x"))

    def test_branch(self) -> None:
        self.assertTrue(self.ask(b"/tree/a/b").endswith(b"tree a|b"))

    def test_host_names(self) -> None:
        cases = {b"[::1]:80": b"[::1]", b"a.b:1": b"a.b", b"": b"localhost", b"a": b"a"}
        for host, name in cases.items():
            self.conversation.say(b"GET /text HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            self.assertEqual(self.conversation.site.handled[-1].getRequestHostname(), name)

    def test_conform(self) -> None:
        """klein's object is made once a request; other interfaces are not claimed."""
        self.ask(b"/text")
        request = self.conversation.site.handled[0]
        self.assertIs(IKleinRequest(request), IKleinRequest(request))

        class IOther(Interface):
            """Not ours."""

        self.assertIs(IOther(request, None), None)

    def test_reading_route_is_cancelled(self) -> None:
        self.ask(b"/wait")
        self.conversation.transport.lose()
        self.assertEqual(self.routes.events, ["cancelled"])
        self.assertEqual([request.status for request in self.conversation.site.over], [499])

    def test_changing_route_is_shielded(self) -> None:
        self.ask(b"/wait", method=b"POST")
        self.conversation.transport.lose()
        self.assertEqual((self.routes.events, self.conversation.site.over), ([], []))
        self.routes.waiting.callback(None)
        self.assertEqual(self.routes.events, ["done"])
        self.assertEqual([request.status for request in self.conversation.site.over], [200])

    def test_shielded_route_that_fails(self) -> None:
        self.ask(b"/wait", method=b"POST")
        self.conversation.transport.lose()
        self.routes.waiting.errback(RuntimeError())
        self.assertEqual(len(self.conversation.site.over), 1)
        self.flushLoggedErrors(RuntimeError)
