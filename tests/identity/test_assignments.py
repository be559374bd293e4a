"""Role assignments: given, listed, taken."""

from __future__ import annotations

from attrs import asdict

from cloudd.identity import BadValue, Forbidden, NotFound
from cloudd.identity._bootstrap import role_id
from tests.identity.test_records import RecordTests


class AssignmentTests(RecordTests):
    async def test_life(self) -> None:
        house, identity, admin, demo = await self.ready()
        assignments = identity.assignments
        for place in ({"project_id": house.login["admin_project_id"]}, {"domain_id": "default"}):
            one = {"role_id": role_id("reader"), "user_id": demo.user_id, **place}
            await self.refused(NotFound, assignments.check(admin, **one))
            await self.refused(NotFound, assignments.revoke(admin, **one))
            await assignments.grant(admin, **one)
            await assignments.grant(admin, **one)  # again: no change
            await assignments.check(admin, **one)
            roles = await assignments.roles(admin, user_id=demo.user_id, **place)
            self.assertEqual([role.name for role in roles], ["reader"])
            await assignments.revoke(admin, **one)
            await self.refused(NotFound, assignments.check(admin, **one))

    async def test_refused(self) -> None:
        house, identity, admin, demo = await self.ready()
        grant, project = identity.assignments.grant, house.login["demo_project_id"]
        reader, user = role_id("reader"), demo.user_id
        for call in (
            grant(admin, role_id="nothing", user_id=user, project_id=project),
            grant(admin, role_id=reader, user_id="nobody", project_id=project),
            grant(admin, role_id=reader, user_id=user, project_id="nowhere"),
            grant(admin, role_id=reader, user_id=user, domain_id="nowhere"),
            grant(admin, role_id=reader, user_id="a/../b", domain_id="default"),
        ):
            await self.refused(NotFound, call)
        await self.refused(BadValue, grant(admin, role_id=reader, user_id=user))
        await self.refused(
            BadValue, grant(admin, role_id=reader, user_id=user, project_id=project, domain_id="default")
        )
        await self.refused(Forbidden, grant(demo, role_id=role_id("admin"), user_id=user, project_id=project))
        await self.refused(Forbidden, identity.assignments.list(demo))
        await self.refused(Forbidden, identity.assignments.list(demo, user_id=admin.user_id))

    async def test_list(self) -> None:
        house, identity, admin, demo = await self.ready()
        found = (await identity.assignments.list(admin)).items
        self.assertEqual(len(found), 3)  # admin on its project and on the domain, demo on its project
        self.assertEqual({one.user_name for one in found}, {""})
        (mine,) = (await identity.assignments.list(demo, user_id=demo.user_id, names=True)).items
        self.assertEqual(
            asdict(mine),
            {
                "user_id": demo.user_id,
                "user_name": "demo",
                "user_domain_id": "default",
                "user_domain_name": "Default",
                "role_id": role_id("member"),
                "role_name": "member",
                "project_id": house.login["demo_project_id"],
                "project_name": "demo",
                "project_domain_id": "default",
                "project_domain_name": "Default",
                "domain_id": None,
                "domain_name": "",
            },
        )
        on_domain = await identity.assignments.list(admin, domain_id="default", names=True)
        self.assertEqual([(one.user_name, one.domain_name) for one in on_domain.items], [("admin", "Default")])
        page = await identity.assignments.list(admin, limit=2)
        self.assertEqual((len(page.items), page.truncated), (2, True))

    async def test_effective(self) -> None:
        """With implied roles, each once, also when one is given and implied."""
        house, identity, admin, demo = await self.ready()
        project = house.login["demo_project_id"]
        await identity.assignments.grant(admin, role_id=role_id("reader"), user_id=demo.user_id, project_id=project)
        effective = await identity.assignments.list(admin, user_id=demo.user_id, effective=True, names=True)
        self.assertEqual(sorted(one.role_name for one in effective.items), ["member", "reader"])
        readers = await identity.assignments.list(admin, role_id=role_id("reader"), effective=True)
        self.assertEqual({one.role_id for one in readers.items}, {role_id("reader")})
        self.assertEqual(len(readers.items), 3)
