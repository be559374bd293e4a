# -*- test-case-name: tests.test_application -*-
"""
Whether each face of a generation answers: asked before its first request, through its real handlers, without a socket.

What is asked needs no credentials and changes nothing; most answers touch neither disk nor database.  It is there for
code that imports but fails as soon as it runs.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.task import deferLater

from cloudd.interfaces.application import Resources, SelfCheckFailed
from cloudd.protocols.http import Handler, probe

LIMIT_S = 5.0  # for all of them


@frozen
class Check:
    """One request and its answer; ``holds`` are bytes that its body has."""

    face: str
    path: str
    status: int
    holds: bytes = b""


CHECKS = (
    Check("api", "/identity/v3", 200, b'"v3'),
    Check("api", "/identity", 300, b'"versions"'),
    Check("api", "/identity/v3/users", 401, b'"error"'),
    Check("api", "/image/versions", 200, b'"versions"'),
    Check("api", "/image/v2/images", 401, b'"code"'),
    Check("api", "/network", 200, b'"versions"'),
    Check("api", "/network/v2.0/networks", 401, b'"NeutronError"'),
    Check("api", "/compute/v2.1", 200, b'"min_version"'),
    Check("api", "/compute/v2.1/flavors", 401, b'"unauthorized"'),
    Check("api", "/events", 401, b'"error"'),
    Check("api", "/ui", 200, b"<html"),
    Check("api", "/ui/api/status", 401, b'"cause"'),
    Check("object", "/info", 200, b'"swift"'),
    Check("object", "/healthcheck", 200),
    Check("object", "/v1/AUTH_self-check", 401),
    Check("s3", "/", 403, b"<Code>AccessDenied</Code>"),
    Check("metadata", "/", 200, b"2009-04-04"),
    Check("metadata", "/openstack", 404),
)


async def check_faces(faces: Mapping[str, Handler], resources: Resources) -> None:
    """
    Make every request of ``CHECKS``.

    :raises SelfCheckFailed: a face is not there, does not answer, or answers otherwise
    """
    asked: list[Check] = []
    checking = Deferred.fromCoroutine(_check_all(faces, resources, asked))
    try:
        await checking.addTimeout(LIMIT_S, resources.reactor)
    except TookTooLong:
        check = asked[-1]
        raise SelfCheckFailed(
            f"face {check.face}", f"GET {check.path} was not answered when {LIMIT_S:g} s for all checks were over"
        ) from None


async def _check_all(faces: Mapping[str, Handler], resources: Resources, asked: list[Check]) -> None:
    for check in CHECKS:
        await deferLater(resources.reactor, 0)  # a turn each: clients would wait for all together
        asked.append(check)
        handler = faces.get(check.face)
        if handler is None:
            raise SelfCheckFailed(f"face {check.face}", "there is none")
        found = await probe(handler, check.face, "GET", check.path, resources.settings.http, resources.reactor.seconds)
        if found.status != check.status:
            answer = f"answered {found.status}" if found.status else "dropped the connection"
            raise SelfCheckFailed(f"face {check.face}", f"GET {check.path} {answer}, expected {check.status}")
        if check.holds not in found.body:
            cause = f"GET {check.path} answered {found.status} without {check.holds.decode()} in its body"
            raise SelfCheckFailed(f"face {check.face}", cause)
