"""Identity as a generation of code: loaded beside another, used, and freed."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.control import BOUNDARIES
from cloudd.database import open_control_database
from reload import CodeTree, Generation
from tests.identity.house import House

ROOT = Path(__file__).parent.parent.parent


class GenerationTests(TestCase):
    async def test_freed_after_use(self) -> None:
        """After log-ins, changes and failures nothing of the kernel holds on to a retired generation."""
        house = await House.built(self)
        database = open_control_database(house.place, reactor=reactor, threads=1)
        self.addCleanup(database.close)
        generation = Generation(7, CodeTree.scan(ROOT, BOUNDARIES), BOUNDARIES)
        module: Any = generation.load("cloudd.identity")
        self.assertTrue(module.__name__.startswith("_g7."))
        state = await self.used(house, module, database)
        module = None
        generation.release()
        database.forget_statements()
        # The threads' last errands: until these end they may still be on their way back from the generation's.
        for _ in range(2):
            await database.read(lambda _: None)
            await database.write(lambda _: None)
        gc.collect()
        self.assertEqual(generation.living(), 0, generation.holders())
        (token,) = state["tokens"]
        self.assertEqual(house.worker(state=state).cached(token).user_name, "demo")  # type: ignore[union-attr]

    async def used(self, house: House, module: Any, database: Any) -> dict[str, Any]:
        """Work in the generation; nothing of it is handed out but plain data."""
        identity = module.Identity(house.resources(database))
        identity.start({})
        admin = (await identity.authenticate(self.password(house, module, "admin"))).access
        demo = await identity.authenticate(self.password(house, module, "demo"))
        await identity.projects.create(admin, {"name": "x", "domain_id": "default"})
        for refused in (
            identity.projects.create(admin, {"name": "x", "domain_id": "default"}),
            identity.authenticate_token("x"),
            identity.ec2_access("nothing"),
            identity.tempauth("demo:demo", "wrong"),
        ):
            with self.assertRaises(module.IdentityError):
                await refused
        await identity.revoke(admin, (await identity.authenticate(self.password(house, module, "admin"))).token)
        await identity.self_check()
        identity._verification.tokens.forget(frozenset({f"user:{admin.user_id}"}))
        state: dict[str, Any] = identity.snapshot()
        self.assertEqual(list(state["tokens"]), [demo.token])
        identity.retire()
        return state

    def password(self, house: House, module: Any, name: str) -> Any:
        user = module.UserRef(name=name, domain_id="default")
        login = module.PasswordLogin(user=user, password=house.login[f"{name}_password"])
        return module.AuthRequest(methods=("password",), password=login)
