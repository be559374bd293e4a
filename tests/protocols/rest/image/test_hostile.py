"""Whatever is sent to routes of definitions and tasks, it is refused for what it is; nothing is an accident."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from cloudd.protocols.rest import route_table
from cloudd.protocols.rest.image import SUBJECTS

from .cloud import ADMIN, ALICE
from .test_metadef_namespaces import NamespaceCase

IDS = ("x", "n", "ü☁", "a\0b", "x" * 3_000, "../..", "' OR 1=1 --", "%", "-1")
QUERIES = (
    "",
    "limit=99999999999999999999",
    "marker=%00",
    "marker=n",
    "marker=" + "m" * 300,
    "resource_types=,,&resource_type=%F0%9F%98%80",
    "sort_key=content&a[]=1",
    "visibility=%27&status=%27",
)
HUGE = int("9" * 400)
PROPERTY = {"title": "t", "type": "string"}
BODIES: tuple[Any, ...] = (
    None, [], {}, 7, "text", {"x": {}}, {"namespace": {}}, {"namespace": "\ud800"}, {"namespace": "x", "objects": {}},
    {"namespace": "x", "properties": []}, {"namespace": "x", "properties": {"p": {**PROPERTY, "default": HUGE}}},
    {"name": HUGE}, {"name": "x", **PROPERTY, "maximum": HUGE}, {"name": "x", **PROPERTY, "enum": [HUGE]},
    {"name": "x", **PROPERTY, "minLength": HUGE}, {"name": "x", **PROPERTY, "items": {"type": "string", "enum": [{}]}},
    {"name": "x", "properties": {"p": []}}, {"name": "x", "required": "x"}, {"tags": [[]]}, {"tags": {"name": "x"}},
    {"name": "x", "prefix": {}}, {"type": "import", "input": []}, {"type": [], "input": {}},
    {"type": "import", "input": {"import_from": HUGE, "image_properties": {}}},
    {"type": "import", "input": {"import_from": "http://x/", "image_properties": {"min_ram": HUGE, "id": []}}},
)  # fmt: skip
SEEN = ("/v2/metadefs", "/v2/schemas", "/v2/tasks")


def routes() -> list[tuple[str, str]]:
    """Method and template below ``/image/v2``."""
    table = [(method, template) for method, template, _ in route_table(SUBJECTS) if template.startswith(SEEN)]
    return [(method, template.removeprefix("/v2")) for method, template in table]


class HostileTests(NamespaceCase):
    async def test_ids_and_queries(self) -> None:
        """Of every route that reads or deletes."""
        await self.space("n", visibility="public", tags=[{"name": "n"}])
        for method, template in routes():
            if method not in ("GET", "DELETE"):
                continue
            for identifier in IDS if "{" in template else IDS[:1]:
                path = re.sub(r"{\w+}", quote(identifier, safe=""), template)
                for query in QUERIES:
                    for who in (ALICE, ADMIN):
                        await self.answered(who, method, f"{path}?{query}")

    async def test_bodies(self) -> None:
        """Of every route that takes one."""
        await self.space("n")
        for method, template in routes():
            if method in ("GET", "DELETE"):
                continue
            path = re.sub(r"{\w+}", "n", template)
            for body in BODIES:
                await self.answered(ADMIN, method, path, json.dumps(body).encode())
        deep = b'{"namespace": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        await self.answered(ADMIN, "POST", "/metadefs/namespaces", deep)

    async def answered(self, who: str, method: str, path: str, body: bytes | None = None) -> None:
        answer = await self.call(who, method, path, body=b"" if body is None else body)
        good = (200, 201, 204, 400, 403, 404, 405, 409)
        self.assertIn(answer.status, good, f"{method} {path[:200]} {(body or b'')[:200]!r}: {answer.text}")
