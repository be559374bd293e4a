# -*- test-case-name: tests.protocols.rest.identity.test_discovery -*-
"""
Version discovery: where every client begins, so before any token.

Source: Identity API v3, "API versions".
"""

from __future__ import annotations

from typing import Any

from cloudd.identity import Identity

from .._api_versions import Served, all_of_ours
from .._face import Call
from .._routes import Answer, route

API = "api.identity.v3"

#: Minor versions of Identity API v3, each of which holds all before; Keystone has stayed at the newest since 2020.
MINORS = tuple(range(15))
_UPDATED = "2020-04-07T00:00:00Z"
_MEDIA_TYPE = {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}


class DiscoveryRoutes:
    """
    Which versions there are, at the root and at the version itself.

    :param served: see there
    """

    def __init__(self, identity: Identity, served: Served = all_of_ours) -> None:
        """Versions are the same for everybody; the first argument is what every route class gets."""
        self._served = served

    @route("GET", "", token=False)
    async def list_versions(self, call: Call) -> Answer:
        """300: a choice of one."""
        return Answer(300, {"versions": {"values": [_version(call, self._served)]}})

    @route("GET", "/v3", token=False)
    async def show_version(self, call: Call) -> Answer:
        """200: this version."""
        return Answer(200, {"version": _version(call, self._served)})


class RootRoutes:
    """``GET /`` of the API port: a client that was given only host and port finds the identity service from there."""

    def __init__(self, identity: Identity, served: Served = all_of_ours) -> None:
        """As for ``DiscoveryRoutes``."""
        self._served = served

    @route("GET", "/", token=False)
    async def list_versions(self, call: Call) -> Answer:
        """300, as at ``/identity``."""
        return Answer(300, {"versions": {"values": [_version(call, self._served)]}})


def _version(call: Call, served: Served) -> dict[str, Any]:
    _lowest, highest = served(API, MINORS)
    return {
        "id": f"v3.{highest}",
        "status": "stable",
        "updated": _UPDATED,
        "links": [{"rel": "self", "href": call.links.to("v3") + "/"}],
        "media-types": [_MEDIA_TYPE],
    }
