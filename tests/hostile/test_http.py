"""The HTTP server of all faces over real sockets: smuggling, slowness, endless heads; and the control socket."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time

from attrs import define
from twisted.trial.unittest import SkipTest

from tests.database.choice import on_postgres
from tests.running_cloud import RunningCloud

from .siege import Siege, own_cloud
from .wire import Wire, ask, head, statuses

FACES = ("api", "object", "s3")
CRLF = b"\r\n"
NOBODY = 65534
INNER = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@define
class Trick:
    """A message that two parsers may frame differently."""

    fields: bytes
    body: bytes = b""
    line: bytes = b"POST /healthcheck HTTP/1.1"

    @property
    def message(self) -> bytes:
        return self.line + b"\r\nHost: x\r\n" + self.fields + CRLF + self.body + INNER


TRICKS = {
    "CL.TE": Trick(b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "TE.CL": Trick(b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"1\r\nx\r\n0\r\n\r\n"),
    "two lengths": Trick(b"Content-Length: 0\r\nContent-Length: 40\r\n"),
    "length list": Trick(b"Content-Length: 0, 40\r\n"),
    "signed length": Trick(b"Content-Length: +5\r\n", b"hello"),
    "obfuscated coding": Trick(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "tabbed coding": Trick(b"Transfer-Encoding:\x0bchunked\r\n", b"0\r\n\r\n"),
    "two codings": Trick(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "space before the colon": Trick(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
    "folded coding": Trick(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"),
    "folded field": Trick(b"X: y\r\n Content-Length: 40\r\n"),
    "bare CR": Trick(b"X: y\rContent-Length: 40\r\n"),
    "bare LF": Trick(b"X: y\nContent-Length: 40\r\n"),
    "NUL": Trick(b"X: y\0\r\nContent-Length: 40\r\n"),
    "two hosts": Trick(b"Host: y\r\n"),
    "chunk size with 0x": Trick(b"Transfer-Encoding: chunked\r\n", b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size overflow": Trick(b"Transfer-Encoding: chunked\r\n", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk ended by LF": Trick(b"Transfer-Encoding: chunked\r\n", b"5\nhello\r\n0\r\n\r\n"),
    "trailer that frames": Trick(b"Transfer-Encoding: chunked\r\n", b"0\r\nContent-Length: 40\r\n\r\n"),
    "chunked in 1.0": Trick(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"POST /healthcheck HTTP/1.0"),
    "upgrade": Trick(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", b"hello"),
}


class Smuggling(Siege):
    def test_one_message_is_one_request(self) -> None:
        """On every port: what two parsers could frame differently is answered once, and nothing after it is read."""
        for face in FACES:
            for name, trick in TRICKS.items():
                if name == "upgrade":
                    continue
                with Wire(self.cloud.ports[face]) as wire:
                    wire.send(trick.message)
                    wire.half_close()
                    said = wire.rest()
                found = statuses(said)
                self.assertEqual(len(found), 1, f"{face}, {name}: {said!r}")
                self.assertIn(found[0], (200, 400, 401, 403, 404, 405, 501), f"{face}, {name}")
        self.assertNotIn("/smuggled", self.access_log())

    def access_log(self) -> str:
        time.sleep(0.5)
        return (self.cloud.state / "log" / "access.log").read_text("utf-8", "replace")

    def test_upgrades_are_refused(self) -> None:
        """An ``Upgrade`` is not followed: the connection goes on in HTTP/1.1."""
        for face in FACES:
            with Wire(self.cloud.ports[face]) as wire:
                wire.send(TRICKS["upgrade"].message)
                wire.half_close()
                found = statuses(wire.rest())
                self.assertEqual(len(found), 2, face)
                self.assertNotIn(101, found)

    def test_broken_bodies_between_requests(self) -> None:
        """A refused upload never turns the rest of its body into a request."""
        with self.container(self.demo, o=b"x") as box:
            port, target = self.cloud.ports["object"], f"/v1/{self.demo.account}/{box}/o"
            evil = head("DELETE", target, {"X-Auth-Token": self.demo.token}, port=port)
            for fields in (
                {"X-Auth-Token": "wrong", "Content-Length": str(len(evil))},
                {"X-Auth-Token": self.demo.token, "Content-Length": str(len(evil)), "X-Delete-At": "1"},
                {
                    "X-Auth-Token": self.demo.token,
                    "Content-Length": str(len(evil)),
                    "Expect": "100-continue",
                    "ETag": "x",
                },
            ):
                with Wire(port) as wire:
                    wire.send(head("PUT", target, fields, port=port) + evil)
                    wire.half_close()
                    found = [status for status in statuses(wire.rest()) if status != 100]
                self.assertEqual(len(found), 1, found)
                self.assertGreaterEqual(found[0], 400)
            self.assertEqual(self.demo.swift("GET", f"/{box}/o").body, b"x")

    def test_response_splitting(self) -> None:
        """Line ends in names, ids and destinations never become header fields of an answer."""
        port = self.cloud.ports["object"]
        with self.container(self.demo, o=b"x") as box:
            evil = "%0d%0aX-Evil:%20yes"
            token = {"X-Auth-Token": self.demo.token}
            for answer in (
                ask(port, "PUT", f"/v1/{self.demo.account}/{box}/{evil}", token, b""),
                ask(port, "COPY", f"/v1/{self.demo.account}/{box}/{evil}", {**token, "Destination": f"{box}/n{evil}"}),
                ask(port, "GET", f"/v1/{self.demo.account}/{box}?prefix={evil}&format=xml", token),
                ask(port, "GET", f"/v1/AUTH{evil}/{box}"),
                ask(port, "GET", "/info", {"X-OpenStack-Request-ID": "req-\u00e9\t<x>"}),
                self.demo.s3("GET", f"/{box}/o?response-content-type=a{evil}"),
                self.demo.s3("GET", f"/{box}/o?response-content-disposition=%ff%00"),
            ):
                self.assertNotIn("x-evil", answer.headers)
                self.assertLess(answer.status, 500, answer.text)

    def test_limits_of_heads(self) -> None:
        """Endless lines, fields and heads are 414 or 431, on every port, however they come."""
        for face in FACES:
            port = self.cloud.ports[face]
            self.assertEqual(ask(port, "GET", "/" + "x" * 20_000).status, 414)
            self.assertEqual(ask(port, "GET", "/", {f"X-{n}": "y" for n in range(200)}).status, 431)
            self.assertEqual(ask(port, "GET", "/", {"X": "y" * 70_000}).status, 431)
            with Wire(port) as wire:
                wire.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
                try:
                    for _ in range(100):
                        wire.send(b"y" * 10_000)
                except OSError:
                    pass
                self.assertIn(b" 431 ", wire.rest()[:20])
            for garbage in (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
                b"\0" * 50,
                b"GET /\r\n\r\n",
                os.urandom(300),
            ):
                with Wire(port) as wire:
                    wire.send(garbage + b"\r\n\r\n")
                    wire.half_close()
                    self.assertEqual(statuses(wire.rest())[1:], [])

    def test_many_idle_connections(self) -> None:
        """Three hundred connections that say nothing, or half a head, do not keep others waiting."""
        wires = [Wire(self.cloud.ports["object"]) for _ in range(300)]
        for wire in wires[::2]:
            wire.send(b"PUT /v1/AUTH_x/c/o HTTP/1.1\r\nHost: x\r\nX-")
        began = time.monotonic()
        for _ in range(10):
            self.assertEqual(ask(self.cloud.ports["object"], "GET", "/healthcheck").status, 200)
        self.assertLess(time.monotonic() - began, 5)
        for wire in wires:
            wire.socket.close()


class Slowness(Siege):
    """A daemon with short time-outs."""

    settings = """
    [http]
    head_timeout_s = 1
    idle_timeout_s = 1
    body_timeout_s = 1
    write_timeout_s = 2
    """

    def make_cloud(self) -> RunningCloud:
        return own_cloud(self.settings)

    def begin(self, face: str, method: str, target: str, fields: dict[str, str], data: bytes) -> Wire:
        """A request whose body does not end."""
        wire = Wire(self.cloud.ports[face])
        self.addCleanup(wire.socket.close)
        wire.send(head(method, target, fields, port=self.cloud.ports[face]) + data)
        return wire

    def ended_within(self, wire: Wire, seconds: float, drip: bytes = b"") -> bytes:
        """All that the daemon says until it closes, while a byte of ``drip`` is sent now and then."""
        deadline, said = time.monotonic() + seconds, b""
        wire.socket.settimeout(0.2)
        while time.monotonic() < deadline:
            try:
                piece = wire.socket.recv(65_536)
                if not piece:
                    return said
                said += piece
            except TimeoutError:
                try:
                    wire.socket.send(drip)
                except OSError:
                    return said
            except ConnectionResetError:
                return said
        raise AssertionError(f"still open after {seconds} s, said {said!r}")

    def test_slow_heads(self) -> None:
        """A head that comes byte by byte is 408 and closed, on every port."""
        for face in FACES:
            with Wire(self.cloud.ports[face]) as wire:
                wire.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
                self.assertEqual(statuses(self.ended_within(wire, 4, b"y")), [408], face)

    def test_silence(self) -> None:
        """A connection that says nothing is closed without a word."""
        with Wire(self.cloud.ports["object"]) as wire:
            self.assertEqual(self.ended_within(wire, 4), b"")

    def test_bodies_that_stop(self) -> None:
        """A body that stands still is told so in the words of each API, and nothing is kept."""
        with self.container(self.demo) as box:
            token = {"X-Auth-Token": self.demo.token, "Content-Length": "500000"}
            signed = self.demo.signer.headers("PUT", f"/{box}/o", payload="UNSIGNED-PAYLOAD")
            swift = self.begin("object", "PUT", f"/v1/{self.demo.account}/{box}/o", token, b"x" * 300_000)
            amazon = self.begin("s3", "PUT", f"/{box}/o", {**signed, "content-length": "500000"}, b"x" * 300_000)
            rest = self.begin("api", "POST", "/identity/v3/users", token, b'{"user": ')
            self.check_swift(swift.answer(), 408)
            self.check_s3(amazon.answer(), 400, "RequestTimeout")
            self.check_fault(rest.answer(), 408)
            self.assertEqual(self.demo.swift("GET", f"/{box}").text, "")

    def test_readers_that_stop(self) -> None:
        """A client that asks for 8 MB and reads nothing is dropped, and its object's file closed."""
        with self.container(self.demo, o=b"x" * 8_000_000) as box:
            port = self.cloud.ports["object"]
            with Wire(port) as wire:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                token = {"X-Auth-Token": self.demo.token}
                wire.send(head("GET", f"/v1/{self.demo.account}/{box}/o", token, port=port) * 3)
                dropped = select.poll()
                dropped.register(wire.socket, 0)  # a reset alone
                self.assertTrue(dropped.poll(60_000), "it is still served")
                self.assertLess(len(wire.rest()), 24_000_000)


class ControlSocket(Siege):
    def test_other_users(self) -> None:
        """Another user of the machine cannot connect, neither with the folder's mode nor when that is opened up."""
        if os.geteuid() != 0:
            raise SkipTest("becoming another user needs root")
        path = self.cloud.state / "control.sock"
        self.assertIn("PermissionError", as_nobody(str(path)))
        places = [self.cloud.folder, self.cloud.state, path]
        modes = [place.stat().st_mode & 0o7777 for place in places]
        try:
            for place in places:
                place.chmod(0o777)
            said = as_nobody(str(path))
        finally:
            for place, mode in zip(places, modes, strict=True):
                place.chmod(mode)
        self.assertIn("403 Forbidden", said)
        self.assertNotIn("generation", said)

    def test_secret_files(self) -> None:
        """Nothing below the state folder may be read by others."""
        self.assertEqual(self.cloud.state.stat().st_mode & 0o777, 0o700)
        databases = ["objects.sqlite"] if on_postgres() else ["cloud.sqlite", "objects.sqlite"]
        for name in ("clouds.yaml", "s3.env", *databases):
            self.assertEqual((self.cloud.state / name).stat().st_mode & 0o077, 0, name)
        for path in (self.cloud.state / "secrets").rglob("*"):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)


def as_nobody(path: str) -> str:
    """What the control socket says to the user nobody, or why it cannot be reached."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(path)
                with contextlib.suppress(BrokenPipeError):  # the refusal does not wait for the request
                    caller.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
                os.write(writing, caller.recv(4096))
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode("utf-8", "replace")
