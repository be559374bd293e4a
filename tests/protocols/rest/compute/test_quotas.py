"""Quotas, quota classes and limits."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from cloudd import compute as service
from cloudd.compute import DEFAULTS, Share
from cloudd.compute.quotas._limits import limits_of

from .cloud import ADMIN, ALICE, BOB, READER, ComputeCase

VERSIONS = ("2.1", "2.35", "2.36", "2.38", "2.39", "2.49", "2.50", "2.56", "2.57", "2.79")
SETS, CLASSES = "/os-quota-sets", "/os-quota-class-sets/default"


class QuotaTests(ComputeCase):
    async def quota(self, who: str = ALICE, path: str = f"{SETS}/p1") -> dict[str, Any]:
        """What holds."""
        found: dict[str, Any] = (await self.good(200, who, "GET", path))["quota_set"]
        return found

    async def set(self, path: str = f"{SETS}/p1", **limits: Any) -> None:
        """By an administrator."""
        await self.good(200, ADMIN, "PUT", path, {"quota_set": limits})

    async def use(self, project: str = "p1", user: str = "alice-id", vcpus: int = 2, server: str = "s1") -> None:
        """What servers take."""
        await self.database.write(service.reserve, project, user, [Share(server, vcpus, 512)])

    async def test_each_version(self) -> None:
        """Shown, set and reset with the members of each version."""
        for version in VERSIONS:
            shown = await self.fits("quotas", "get_quota_set", READER, "GET", f"{SETS}/p1", version)
            default = await self.fits("quotas", "get_quota_set", READER, "GET", f"{SETS}/p1/defaults", version)
            self.assertEqual(shown, default)
            detail = await self.fits("quotas", "get_quota_set_details", READER, "GET", f"{SETS}/p1/detail", version)
            self.assertEqual(set(detail["quota_set"]), set(shown["quota_set"]))
            body = {"quota_set": {"cores": 5, "ram": "-1"}}
            changed = await self.fits("quotas", "update_quota_set", ADMIN, "PUT", f"{SETS}/p1", version, body)
            self.assertEqual((changed["quota_set"]["cores"], changed["quota_set"]["ram"]), (5, -1))
            self.assertEqual(await self.quota(), {"id": "p1", **DEFAULTS, "cores": 5, "ram": -1})
            await self.fits("quotas", "delete_quota", ADMIN, "DELETE", f"{SETS}/p1", version)
            self.assertEqual(await self.quota(), {"id": "p1", **DEFAULTS})

    async def test_rights(self) -> None:
        """A project reads its own; setting is for administrators."""
        for path in (f"{SETS}/p1", f"{SETS}/p1/detail", f"{SETS}/p1/defaults"):
            await self.refused(403, "forbidden", BOB, "GET", path)
        await self.refused(403, "forbidden", ALICE, "PUT", f"{SETS}/p1", {"quota_set": {"cores": 1}})
        await self.refused(403, "forbidden", ALICE, "DELETE", f"{SETS}/p1")
        for method, body in (("GET", None), ("PUT", {"quota_set": {"cores": 1}})):
            message = await self.refused(400, "badRequest", ADMIN, method, f"{SETS}/none", body)
            self.assertEqual(message, "Project ID none is not a valid project.")

    async def test_of_a_project_that_is_gone(self) -> None:
        """What was set for it can be removed."""
        await self.database.write(service.set_quota, self.client_access(ADMIN), "gone", "", {"cores": 1}, force=False)
        await self.good(202, ADMIN, "DELETE", f"{SETS}/gone")
        self.assertEqual((await self.database.read(limits_of, "gone"))["cores"], DEFAULTS["cores"])

    async def test_bad(self) -> None:
        bad: list[tuple[dict[str, Any], str]] = [
            ({}, "2.1"), ({"quota_set": []}, "2.1"), ({"quota_set": {"cores": "x"}}, "2.1"),
            ({"quota_set": {"cores": -2}}, "2.1"), ({"quota_set": {"cores": 1.5}}, "2.1"),
            ({"quota_set": {"cores": None}}, "2.1"), ({"quota_set": {"cores": 2**31}}, "2.1"),
            ({"quota_set": {"gpus": 1}}, "2.1"), ({"quota_set": {"cores": 1, "force": "perhaps"}}, "2.1"),
            ({"quota_set": {"fixed_ips": 1}}, "2.36"), ({"quota_set": {"injected_files": 1}}, "2.57"),
        ]  # fmt: skip
        for body, version in bad:
            await self.refused(400, "badRequest", ADMIN, "PUT", f"{SETS}/p1", body, version)
        await self.refused(400, "badRequest", ADMIN, "GET", f"{SETS}/p1?x=1", None, "2.75")
        self.assertEqual(await self.quota(), {"id": "p1", **DEFAULTS})

    async def test_in_use(self) -> None:
        """Counted from servers; a limit goes below that only by force."""
        await self.use()
        await self.use("p2", "bob-id", server="s2")
        detail = await self.quota(path=f"{SETS}/p1/detail")
        self.assertEqual(detail["cores"], {"in_use": 2, "limit": 20, "reserved": 0})
        self.assertEqual((detail["ram"]["in_use"], detail["instances"]["in_use"]), (512, 1))
        message = await self.refused(400, "badRequest", ADMIN, "PUT", f"{SETS}/p1", {"quota_set": {"cores": 1}})
        self.assertIn("must be greater than or equal to already used and reserved 2", message)
        await self.set(cores=1, force=True)
        self.assertEqual((await self.quota())["cores"], 1)
        await self.set(cores=-1)

    async def test_of_users(self) -> None:
        """One user's is at most the project's, and goes with it."""
        path = f"{SETS}/p1?user_id=alice-id"
        await self.set(path, cores=3)
        self.assertEqual((await self.quota(path=path))["cores"], 3)
        self.assertEqual((await self.quota())["cores"], 20)
        for cores in (21, -1):
            await self.refused(400, "badRequest", ADMIN, "PUT", path, {"quota_set": {"cores": cores}})
        await self.use(vcpus=3)
        await self.use(user="carol-id", vcpus=3, server="s2")
        await self.assertFailure(Deferred.fromCoroutine(self.use(server="s3")), service.QuotaExceeded)
        await self.good(202, ADMIN, "DELETE", path)
        await self.use(server="s3")
        await self.set(path, cores=10)
        await self.good(202, ADMIN, "DELETE", f"{SETS}/p1")
        self.assertEqual((await self.quota(path=path))["cores"], 20)

    async def test_classes(self) -> None:
        """What is set for the class holds for every project that has nothing of its own."""
        for version in VERSIONS:
            await self.fits("quota_classes", "get_quota_class_set", ADMIN, "GET", CLASSES, version)
            body = {"quota_class_set": {"cores": 7}}
            changed = await self.fits("quota_classes", "update_quota_class_set", ADMIN, "PUT", CLASSES, version, body)
            self.assertEqual(changed["quota_class_set"]["cores"], 7)
        await self.set(f"{SETS}/p2", cores=9)
        self.assertEqual(((await self.quota())["cores"], (await self.quota(BOB, f"{SETS}/p2"))["cores"]), (7, 9))
        self.assertEqual((await self.quota(path=f"{SETS}/p1/defaults"))["cores"], 7)
        await self.refused(403, "forbidden", ALICE, "GET", CLASSES)
        await self.refused(403, "forbidden", ALICE, "PUT", CLASSES, {"quota_class_set": {"cores": 7}})
        other = CLASSES.replace("default", "gold")
        await self.refused(400, "badRequest", ADMIN, "PUT", other, {"quota_class_set": {"cores": 7}})
        await self.refused(400, "badRequest", ADMIN, "PUT", CLASSES, {"quota_class_set": {"cores": -2}})


class LimitTests(ComputeCase):
    async def test_each_version(self) -> None:
        """With the members of each version; what is in use beside what may be."""
        await self.database.write(service.reserve, "p1", "alice-id", [Share("s1", 2, 512), Share("s2", 1, 256)])
        for version in VERSIONS:
            found = await self.fits("limits", "get_limit", READER, "GET", "/limits?reserved=False", version)
            absolute = found["limits"]["absolute"]
            self.assertEqual((absolute["maxTotalCores"], absolute["totalCoresUsed"]), (20, 3))
            self.assertEqual((absolute["totalRAMUsed"], absolute["totalInstancesUsed"]), (768, 2))
        await self.refused(400, "badRequest", READER, "GET", "/limits?x=1", None, "2.75")

    async def test_of_others(self) -> None:
        """For administrators."""
        await self.refused(403, "forbidden", BOB, "GET", "/limits?tenant_id=p1")
        await self.good(200, BOB, "GET", "/limits?tenant_id=p2")
        await self.database.write(service.reserve, "p1", "alice-id", [Share("s1", 2, 512)])
        found = await self.good(200, ADMIN, "GET", "/limits?tenant_id=p1")
        self.assertEqual(found["limits"]["absolute"]["totalCoresUsed"], 2)
        self.assertEqual((await self.good(200, ADMIN, "GET", "/limits"))["limits"]["absolute"]["totalCoresUsed"], 0)
