# -*- test-case-name: tests.protocols.rest.compute.test_versions -*-
"""
Microversions: which one a request asks for, and what is there from one version to another.

A client names a version in ``OpenStack-API-Version: compute 2.61``, an old one in
``X-OpenStack-Nova-API-Version: 2.61``; ``latest`` is the newest, and without either it is 2.1.

A route says what changes with versions in three ways::

    BODY = Members(since={"type": (2, 2)}, until={"personality": (2, 56)})    # members of a body, read or shown

    @route("PUT", "/v2.1/flavors/{flavor_id}")
    @during((2, 55))                                                          # the whole route, from 2.55 on
    async def update(self, call: ComputeCall, flavor_id: str) -> Answer:
        wanted = await call.read_body("flavor", FlavorUpdate, BODY)
        if call.version >= (2, 75): ...                                       # anything else

Source: Compute API, "Microversions".
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from attrs import frozen

from cloudd.protocols.http import Header, Request

from .._faults import Fault, bad_request
from .._routes import Answer

Version = tuple[int, int]

OLDEST: Version = (2, 1)
NEWEST: Version = (2, 79)
#: Minor versions of 2 that this code serves, for other nodes.
MINORS = tuple(range(OLDEST[1], NEWEST[1] + 1))
API = "compute"

HEADER, LEGACY = "OpenStack-API-Version", "X-OpenStack-Nova-API-Version"
#: Their names as requests keep them.
VERSION_FIELDS = (HEADER.lower().encode("ascii"), LEGACY.lower().encode("ascii"))
_VERSION = re.compile(r"([1-9]\d{0,8})\.([1-9]\d{0,8}|0)")
VARY: Header = (b"Vary", f"{HEADER}, {LEGACY}".encode("ascii"))

Method = Callable[..., Awaitable[Answer]]


def text_of(version: Version) -> str:
    """``2.61``."""
    return f"{version[0]}.{version[1]}"


def negotiate(request: Request, newest: Version) -> Version:
    """
    The version in which this request is answered.

    :param newest: that clients are shown now
    :raises Fault: 400 for what is no version, 406 for one that is not served
    """
    asked = _asked(request)
    if asked is None:
        return OLDEST
    if asked == "latest":
        return newest
    found = _VERSION.fullmatch(asked)
    if found is None:
        raise bad_request(f"API Version String {asked[:40]} is of invalid format. Must be of format MajorNum.MinorNum.")
    version = int(found[1]), int(found[2])
    if not OLDEST <= version <= newest:
        raise Fault(
            406,
            f"Version {text_of(version)} is not supported by the API. "
            f"Minimum is {text_of(OLDEST)} and maximum is {text_of(newest)}.",
        )
    return version


def _asked(request: Request) -> str | None:
    """What the headers name; one that names other services only counts as none."""
    for part in _words(request, HEADER).split(","):
        service, _, version = part.strip().partition(" ")
        if service == API:
            return version.strip()
    return _words(request, LEGACY).strip() or None


def _words(request: Request, name: str) -> str:
    return (request.header(name.lower().encode("ascii")) or b"").decode("latin-1").lower()


def version_headers(version: Version) -> tuple[Header, ...]:
    """What an answer says of its version."""
    text = text_of(version).encode("ascii")
    return (HEADER.encode("ascii"), b"compute " + text), (LEGACY.encode("ascii"), text), VARY


@frozen
class Members:
    """
    Which members a body has in which version; one that stands in neither is there in all.

    :param since: member -> the first version that has it
    :param until: member -> the last version that has it
    """

    since: Mapping[str, Version] = {}
    until: Mapping[str, Version] = {}

    def has(self, name: str, version: Version) -> bool:
        """Whether the member is there."""
        return self.since.get(name, OLDEST) <= version <= self.until.get(name, NEWEST)

    def shown(self, version: Version, document: Mapping[str, Any]) -> dict[str, Any]:
        """What of all members a client of this version sees."""
        return {name: value for name, value in document.items() if self.has(name, version)}

    def strange(self, version: Version, given: Iterable[str]) -> list[str]:
        """Those of the given members that this version has not."""
        return [name for name in given if not self.has(name, version)]


ALWAYS = Members()


def during(first: Version, last: Version = NEWEST) -> Callable[[Method], Method]:
    """The route is there from ``first`` to ``last``; in other versions it is not, which Nova answers with 404."""

    def limit(method: Method) -> Method:
        @wraps(method)
        async def within(self: Any, call: Any, **parameters: str) -> Answer:
            if not first <= call.version <= last:
                raise Fault(404, f"API version {text_of(call.version)} is not supported on this method.")
            return await method(self, call, **parameters)

        return within

    return limit
