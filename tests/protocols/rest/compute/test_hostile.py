"""Whatever is sent to whichever route, it is refused for what it is; nothing is an accident."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from cloudd.protocols.rest import route_table
from cloudd.protocols.rest.compute import SUBJECTS

from .cloud import ADMIN, ALICE, ComputeCase

IDS = ("x", "ü☁", "a\0b", "x" * 3_000, "../..", "' OR 1=1 --", "%", "-1", "1")
QUERIES = ("", "limit=99999999999999999999", "marker=%00", "user_id=" + "u" * 300, "tenant_id=%F0%9F%98%80", "a[]=1")
NEVER_MADE = "/compute/v2.1/os-tenant-networks"
REMOVED = "/compute/v2.1/os-agents"
HUGE = int("9" * 400)
BODIES: tuple[Any, ...] = (
    None, [], {}, 7, "text", {"x": {}}, {"keypair": {"name": {"a": 1}}}, {"flavor": {"ram": [1]}},
    {"quota_set": {"cores": {"a": 1}}, "x": 1}, {"server_group": {"policies": [[]], "name": "x"}},
    {"quota_class_set": {"ram": "9" * 400}}, {"extra_specs": {"a": [1]}}, {"addTenantAccess": {"tenant": "t" * 500}},
    {"keypair": {"name": "\ud800"}}, {"flavor": {"name": "x", "ram": HUGE, "vcpus": 1, "disk": 1}},
    {"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "id": HUGE}}, {"extra_specs": {"a": HUGE}},
    {"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "rxtx_factor": HUGE}}, {"1": HUGE},
    {"quota_set": {"cores": HUGE}}, {"quota_class_set": {"ram": HUGE}}, {"interfaceAttachment": {"port_id": [1]}},
    {"interfaceAttachment": {"net_id": "x" * 70_000}}, {"interfaceAttachment": {"fixed_ips": [{"ip_address": HUGE}]}},
    {"security_group": {"name": "x" * 70_000, "description": ""}}, {"security_group": {"name": [1]}},
    {"security_group_rule": {"parent_group_id": HUGE, "ip_protocol": HUGE, "from_port": HUGE, "to_port": "9" * 400}},
    {"security_group_rule": {"group_id": HUGE, "cidr": {}}}, {"security_group_rule": {"cidr": "9" * 70_000}},
    {"metadata": {"a" * 300: "b"}}, {"metadata": {"a": HUGE}}, {"meta": {"1": "b" * 300}}, {"pool": "x" * 70_000},
    {"status": {"a": 1}}, {"aggregate": {"name": "\ud800"}}, {"aggregate": {"name": "x", "availability_zone": [1]}},
    {"add_host": {"host": {"a": 1}}}, {"set_metadata": {"metadata": {"a": HUGE}}}, {"events": [{"name": [1]}]},
    {"events": [{"name": "network-changed", "server_uuid": "\ud800"}]}, {"events": HUGE}, {"maintenance_mode": HUGE},
    {"host": HUGE, "binary": "x"}, {"host": "\ud800", "binary": "nova-compute"},
)  # fmt: skip


class HostileTests(ComputeCase):
    async def test_ids_and_queries(self) -> None:
        """Of every route that reads or deletes."""
        for method, template, _ in route_table(SUBJECTS, "/compute"):
            if method not in ("GET", "DELETE"):
                continue
            for identifier in IDS if "{" in template else IDS[:1]:
                path = re.sub(r"{\w+}", quote(identifier, safe=""), template)
                for query in QUERIES:
                    for who, version in ((ALICE, "2.1"), (ADMIN, "2.79")):
                        await self.answered(who, method, f"{path}?{query}", None, version)

    async def test_bodies(self) -> None:
        """Of every route that takes one."""
        for method, template, _ in route_table(SUBJECTS, "/compute"):
            if method in ("GET", "DELETE"):
                continue
            path = re.sub(r"{\w+}", "1", template)
            for body in BODIES:
                for version in ("2.1", "2.79"):
                    await self.answered(ADMIN, method, path, body, version)

    async def answered(self, who: str, method: str, path: str, body: Any, version: str) -> None:
        headers = {"X-Auth-Token": who, "OpenStack-API-Version": f"compute {version}"}
        answer = await self.client.json(method, path, body, headers=headers)
        odd = (503,) if path == NEVER_MADE else (410,) if path.startswith(REMOVED) else ()
        expected = (200, 202, 204, 400, 403, 404, 501, *odd)
        self.assertIn(answer.status, expected, f"{method} {path[:200]} {body}: {answer.text}")
        self.assertIn("x-compute-request-id", answer.headers)
