"""A real web server on this machine, from which tests download images."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from .formats import qcow2

RAW = b"raw disk" * 40_000


class _Answer(Resource):
    isLeaf = True

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._origin = origin

    def render(self, request: Any) -> Any:
        name = request.path.decode().rpartition("/")[2]
        self._origin.asked.append((name, request.getHeader(b"host").decode()))
        answer = getattr(self._origin, f"do_{name}", None)
        if answer is None:
            request.setResponseCode(404)
            return b"none"
        return answer(request)


class Origin:
    """
    ``GET /raw`` and so on, see the methods.

    :param certificate: ``PrivateCertificate``: it speaks TLS
    :ivar asked: name and Host of each request
    """

    def __init__(self, reactor: Any, port: int = 0, certificate: Any = None) -> None:
        self.asked: list[tuple[str, str]] = []
        self._reactor = reactor
        site = Site(_Answer(self))
        if certificate is None:
            self._listening = reactor.listenTCP(port, site, interface="127.0.0.1")
        else:
            self._listening = reactor.listenSSL(port, site, certificate.options(), interface="127.0.0.1")
        self.port: int = self._listening.getHost().port

    def url(self, name: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{name}"

    def close(self) -> Deferred[None] | None:
        closed: Deferred[None] | None = self._listening.stopListening()
        return closed

    def do_raw(self, request: Any) -> bytes:
        request.setHeader(b"content-length", b"%d" % len(RAW))
        return RAW

    def do_qcow2(self, _request: Any) -> bytes:
        return qcow2()

    def do_backed(self, _request: Any) -> bytes:
        return qcow2(backing=64)

    def do_chunked(self, request: Any) -> int:
        for start in range(0, len(RAW), 50_000):
            request.write(RAW[start : start + 50_000])
        request.finish()
        return NOT_DONE_YET

    def do_cut(self, request: Any) -> int:
        """Promises more than it sends."""
        request.setHeader(b"content-length", b"%d" % (len(RAW) + 1))
        request.write(RAW)
        request.channel.transport.abortConnection()
        return NOT_DONE_YET

    def do_endless(self, request: Any) -> int:
        """Says no length, and never ends."""
        request.registerProducer(_Endless(request), False)
        return NOT_DONE_YET

    def do_silent(self, request: Any) -> int:
        request.write(b"x")
        return NOT_DONE_YET

    def do_trickle(self, request: Any) -> int:
        """A byte now and again, without an end."""
        trickling = LoopingCall(request.write, b"x")
        trickling.clock = self._reactor
        trickling.start(0.005).addErrback(lambda _: None)
        request.notifyFinish().addBoth(lambda _: trickling.stop())
        return NOT_DONE_YET

    def do_busy(self, request: Any) -> bytes:
        request.setResponseCode(503)
        return b"later"

    def do_there(self, request: Any) -> bytes:
        request.redirect(b"/raw")
        return b""

    def do_round(self, request: Any) -> bytes:
        request.redirect(b"/round")
        return b""

    def do_inside(self, request: Any) -> bytes:
        """To where the cloud's own services listen."""
        request.redirect(b"http://169.254.169.254/latest/meta-data/")
        return b""

    def do_local(self, request: Any) -> bytes:
        request.redirect(b"file:///etc/passwd")
        return b""


class _Endless:
    def __init__(self, request: Any) -> None:
        self._request = request

    def resumeProducing(self) -> None:
        self._request.write(b"x" * 65_536)

    def stopProducing(self) -> None:
        self._request.unregisterProducer()
