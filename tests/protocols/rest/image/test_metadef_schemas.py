"""That metadata definitions look as their schemas say."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]

from .cloud import ADMIN, ALICE
from .test_metadef_namespaces import SPACES, NamespaceCase
from .test_metadefs import FULL, N

NAMES = {
    "namespace": "namespace",
    "namespaces": "namespaces",
    "object": "object",
    "objects": "objects",
    "property": "property",
    "properties": "properties",
    "tag": "tag",
    "tags": "tags",
    "resource_type": "resource_type_association",
    "resource_types": "resource_type_associations",
}


class SchemaTests(NamespaceCase):
    async def schema(self, name: str) -> Any:
        return await self.good(200, ALICE, "GET", f"/schemas/metadefs/{name}")

    async def test_names(self) -> None:
        """As Glance calls them; each is a schema."""
        for name, called in NAMES.items():
            schema = await self.schema(name)
            self.assertEqual(schema["name"], called)
            jsonschema.Draft4Validator.check_schema(schema)
        await self.refused(404, ALICE, "GET", "/schemas/metadefs/x")
        await self.refused(401, "", "GET", "/schemas/metadefs/tag")

    async def test_answers(self) -> None:
        """What is answered fits them."""
        held = {
            "objects": [{"name": "o", "required": ["p"], "properties": {"p": {**FULL, "default": "x"}}}],
            "properties": {"q": FULL},
            "tags": [{"name": "t"}],
            "resource_type_associations": [{"name": "r", "prefix": "p_"}],
        }
        await self.space("n", display_name="N", description="d", **held)
        for name, path in (
            ("namespace", N),
            ("namespaces", SPACES),
            ("object", f"{N}/objects/o"),
            ("objects", f"{N}/objects"),
            ("property", f"{N}/properties/q"),
            ("properties", f"{N}/properties"),
            ("tag", f"{N}/tags/t"),
            ("tags", f"{N}/tags"),
            ("resource_types", f"{N}/resource_types"),
        ):
            jsonschema.validate(await self.good(200, ADMIN, "GET", path), await self.schema(name))
