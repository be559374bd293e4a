"""
An HTTP/1.1 server whose connections can be suspended at any byte.  Kernel: never swapped while a process runs.

::

    class Hello:
        def handle(self, request: Request) -> None:
            request.respond(200, [(b"Content-Type", b"text/plain")], b"hello\\n")

        def finished(self, request: Request) -> None:
            print(request.id, request.status, request.sent_bytes)

    factory = HTTPServerFactory(Hello(), HTTPSettings(), "api", reactor)
    listen(reactor, descriptor, factory)      # an inherited listening socket

A handler is a function of one ``Request``, or a coroutine function; ``KleinApp(app)`` makes one of a klein app.
"""

from ._body import Body, BodySink
from ._errors import (
    AnswerMisused,
    BodyAlreadyRead,
    BodyMalformed,
    BodyTimedOut,
    BodyTooLarge,
    BodyTruncated,
    ClientGone,
    FileTooShort,
    NotExportable,
)
from ._factory import HTTPServerFactory, Site
from ._head import Header
from ._klein import KleinApp
from ._listen import listen
from ._probe import Probed, probe
from ._reactor import install_lean
from ._request import Handler, Request, changes_state

__all__ = [
    "AnswerMisused",
    "Body",
    "BodyAlreadyRead",
    "BodyMalformed",
    "BodySink",
    "BodyTimedOut",
    "BodyTooLarge",
    "BodyTruncated",
    "ClientGone",
    "FileTooShort",
    "HTTPServerFactory",
    "Handler",
    "Header",
    "KleinApp",
    "NotExportable",
    "Probed",
    "Request",
    "Site",
    "changes_state",
    "install_lean",
    "listen",
    "probe",
]
