"""The identity face under upgrade: a generation that served is freed, and the next one goes on."""

from __future__ import annotations

import gc
from pathlib import Path

import cloudd
from cloudd.control import BOUNDARIES
from reload import CodeTree, Generation
from tests.http_client import HTTPClient

from .cloud import CloudTests

ROOT = Path(cloudd.__file__).parent.parent


class GenerationTests(CloudTests):
    """Three generations one after the other, on one database."""

    async def test_freed_after_serving(self) -> None:
        """
        Routes, schemas and faults of klein, werkzeug and msgspec that were in use keep no old code alive.

        Each generation answers calls of every kind, and tokens of the one before are good in the next.
        """
        tree = CodeTree.scan(ROOT, BOUNDARIES)
        token = await self.log_in("admin")
        for number in (7_101, 7_102, 7_103):
            generation = Generation(number, tree, BOUNDARIES)
            self.addCleanup(generation.release)
            token = await self.serve(generation, token)
            generation.release()
            gc.collect()
            self.assertEqual(generation.living(), 0, generation.holders())

    async def serve(self, generation: Generation, token: str) -> str:
        """Calls of every kind; gives a token that this generation issued."""
        identity = generation.load("cloudd.identity").Identity(self.resources)
        identity.start({})
        face = generation.load("cloudd.protocols.rest.identity").identity_face(identity, self.resources)
        self.client = HTTPClient(face)
        await self.good(200, token, "GET", "/auth/tokens", X_Subject_Token=token)
        await self.good(200, token, "GET", "/role_assignments?include_names")
        name = f"p{generation.number}"
        await self.good(201, token, "POST", "/projects", {"project": {"name": name}})
        self.assertIn("did you mean", await self.refused(400, token, "POST", "/projects", {"project": {"nmae": name}}))
        await self.refused(404, token, "GET", "/users/nobody")
        await self.refused(404, token, "GET", "/nothing")
        await self.refused(405, token, "PATCH", "/users")
        await self.refused(501, token, "GET", "/groups")
        issued = await self.log_in("admin")
        identity.retire()
        del self.client
        return issued
