"""The REST APIs of a running cloud, as its administrator calls them without a client's library."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.running_cloud import RunningCloud


class Administrator:
    """
    :ivar token: of the project ``admin``
    :ivar project_id: of that project
    """

    def __init__(self, cloud: RunningCloud) -> None:
        self._base = cloud.url("api")
        self.user, self.password = cloud.login("cloudd-admin")
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        who = {"name": self.user, "domain": {"id": "default"}, "password": self.password}
        asked = {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}
        self.token = ""
        answer, headers = self._ask("POST", "/identity/v3/auth/tokens", {"auth": asked})
        self.token = headers["X-Subject-Token"]
        self.project_id: str = answer["token"]["project"]["id"]

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """
        :param body: bytes, or what becomes JSON
        :return: the answer's JSON; None: it has no body
        :raises urllib.error.HTTPError:
        """
        return self._ask(method, path, body)[0]

    def _ask(self, method: str, path: str, body: Any) -> tuple[Any, Any]:
        data, kind = (body, "application/octet-stream") if isinstance(body, bytes) else (None, "application/json")
        if body is not None and data is None:
            data = json.dumps(body).encode()
        headers = {"Content-Type": kind, "X-Auth-Token": self.token}
        request = urllib.request.Request(self._base + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            return (json.loads(text) if text else None), answer.headers

    def image(self, name: str, content: bytes) -> str:
        """A raw image that all projects see; its id."""
        asked = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public"}
        made = self("POST", "/image/v2/images", asked)
        self("PUT", f"/image/v2/images/{made['id']}/file", content)
        return str(made["id"])

    def flavor(self, flavor_id: str, ram_mib: int) -> str:
        """A small flavor; the disk of a resize may not shrink, so all have the same."""
        sizes = {"ram": ram_mib, "vcpus": 1, "disk": 1}
        self("POST", "/compute/v2.1/flavors", {"flavor": {"id": flavor_id, "name": flavor_id, **sizes}})
        return flavor_id

    def network(self, name: str) -> str:
        """A network that all projects share, with addresses for 65,000; its id."""
        made = self("POST", "/network/v2.0/networks", {"network": {"name": name, "shared": True}})["network"]
        subnet = {"network_id": made["id"], "ip_version": 4, "cidr": "10.90.0.0/16"}
        self("POST", "/network/v2.0/subnets", {"subnet": subnet})
        return str(made["id"])

    def role(self, name: str) -> None:
        """A role that a token may have, and that means nothing here."""
        self("POST", "/identity/v3/roles", {"role": {"name": name}})
