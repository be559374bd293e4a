"""Domains, projects, users and roles: what is kept, what is refused, and what stays untouched."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from sqlalchemy import select
from twisted.trial.unittest import TestCase

from cloudd.database import tables
from cloudd.identity import (
    Access,
    BadValue,
    Conflict,
    DomainScope,
    Forbidden,
    Identity,
    IdentityError,
    NotFound,
    Unauthorized,
)
from cloudd.identity._bootstrap import ROLES, role_id
from tests.identity.house import House


class RecordTests(TestCase):
    """With the operator as ``admin`` and a member of project demo as ``demo``."""

    async def ready(self) -> tuple[House, Identity, Access, Access]:
        house = await House.built(self)
        identity = house.worker()
        return house, identity, await house.admin(identity), (await house.demo(identity)).access

    async def refused(self, error: type[IdentityError], call: Awaitable[Any]) -> Any:
        with self.assertRaises(error) as caught:
            await call
        return caught.exception

    async def assert_checked(self, create: Any, good: Mapping[str, Any], faults: Mapping[str, list[Any]]) -> None:
        """Each fault of one member is refused by its name, and nothing is kept."""
        for field, values in faults.items():
            for value in values:
                error = await self.refused(BadValue, create({**good, field: value}))
                self.assertTrue(error.field.endswith(f".{field}"), error.field)


class DomainTests(RecordTests):
    async def test_life(self) -> None:
        _, identity, admin, _ = await self.ready()
        domains = identity.domains
        made = await domains.create(admin, {"name": "acme", "description": None})
        self.assertEqual((made.name, made.description, made.enabled), ("acme", "", True))
        self.assertEqual(await domains.get(admin, made.id), made)
        changed = await domains.update(admin, made.id, {"name": "Acme", "enabled": False})
        self.assertEqual((changed.name, changed.enabled), ("Acme", False))
        self.assertEqual((await domains.list(admin, name="Acme")).items, (changed,))
        self.assertEqual((await domains.list(admin, enabled=False)).items, (changed,))
        self.assertEqual(len((await domains.list(admin)).items), 2)
        await domains.delete(admin, made.id)
        await self.refused(NotFound, domains.get(admin, made.id))

    async def test_refused(self) -> None:
        _, identity, admin, demo = await self.ready()
        domains = identity.domains
        await self.refused(Conflict, domains.create(admin, {"name": "Default"}))
        made = await domains.create(admin, {"name": "acme"})
        await self.refused(Conflict, domains.update(admin, made.id, {"name": "Default"}))
        await self.refused(Forbidden, domains.delete(admin, made.id))  # it is enabled
        await self.refused(Forbidden, domains.delete(admin, "default"))
        await self.refused(Forbidden, domains.update(admin, "default", {"enabled": False}))
        for call in (
            domains.create(demo, {"name": "x"}),
            domains.update(demo, made.id, {"name": "x"}),
            domains.delete(demo, made.id),
            domains.list(demo),
            domains.get(demo, made.id),
            domains.get(demo, "nothing"),
        ):
            await self.refused(Forbidden, call)
        self.assertEqual((await domains.get(demo, "default")).name, "Default")
        faults: dict[str, list[Any]] = {
            "name": ["", " ", None, 7, "x" * 256, "a\0b", "\ud800"],
            "description": [7, "x" * 4097],
            "enabled": ["true", None, 1],
            "colour": ["blue"],
        }
        await self.assert_checked(lambda values: domains.create(admin, values), {"name": "x"}, faults)
        await self.refused(BadValue, domains.create(admin, {}))

    async def test_delete_takes_all_with_it(self) -> None:
        """Users and nested projects of the domain go; their tokens end; nobody else is touched."""
        house, identity, admin, _ = await self.ready()
        domain = await identity.domains.create(admin, {"name": "acme"})
        top = await identity.projects.create(admin, {"name": "top", "domain_id": domain.id})
        below = await identity.projects.create(admin, {"name": "below", "domain_id": domain.id, "parent_id": top.id})
        user = await house.member(identity, "ann", project=below.id, domain=domain.id)
        issued = await house.login_as(identity, user)
        await identity.domains.update(admin, domain.id, {"enabled": False})
        await self.refused(IdentityError, identity.authenticate_token(issued.token))
        await self.refused(Unauthorized, house.login_as(identity, user))
        await identity.domains.delete(admin, domain.id)
        for call in (identity.projects.get(admin, below.id), identity.users.get(admin, user.id)):
            await self.refused(NotFound, call)
        self.assertEqual(len((await identity.users.list(admin)).items), 2)


class OtherServicesTests(RecordTests):
    """What other services keep for a project is told to go in the transaction that deletes it."""

    def setUp(self) -> None:
        self.told: list[str] = []
        self.fails = False

    def deleted(self, connection: Any, project_id: str) -> None:
        found = connection.execute(select(tables.project.c.id).where(tables.project.c.id == project_id)).all()
        self.assertEqual(found, [])
        self.told.append(project_id)
        if self.fails:
            raise ValueError("no")

    def user_deleted(self, connection: Any, user_id: str) -> None:
        found = connection.execute(select(tables.user.c.id).where(tables.user.c.id == user_id)).all()
        self.assertEqual(found, [])
        self.told.append(user_id)
        if self.fails:
            raise ValueError("no")

    async def house_with_others(self) -> tuple[Identity, Access]:
        house = await House.built(self)
        identity = Identity(house.resources(house.database()), self.deleted, self.user_deleted)
        identity.start({})
        self.addCleanup(identity.retire)
        return identity, await house.admin(identity)

    async def test_project(self) -> None:
        """Both happen, or neither."""
        identity, admin = await self.house_with_others()
        project = await identity.projects.create(admin, {"name": "p", "domain_id": "default"})
        self.fails = True
        with self.assertRaises(ValueError):
            await identity.projects.delete(admin, project.id)
        self.assertEqual((await identity.projects.get(admin, project.id)).id, project.id)
        self.fails = False
        await identity.projects.delete(admin, project.id)
        self.assertEqual(set(self.told), {project.id})

    async def test_user(self) -> None:
        """Both happen, or neither."""
        identity, admin = await self.house_with_others()
        user = await identity.users.create(admin, {"name": "u", "domain_id": "default"})
        self.fails = True
        with self.assertRaises(ValueError):
            await identity.users.delete(admin, user.id)
        self.assertEqual((await identity.users.get(admin, user.id)).id, user.id)
        self.fails = False
        await identity.users.delete(admin, user.id)
        self.assertEqual(set(self.told), {user.id})

    async def test_domain(self) -> None:
        """Each of its projects and users is told of."""
        identity, admin = await self.house_with_others()
        domain = await identity.domains.create(admin, {"name": "acme"})
        ids = [
            (await identity.projects.create(admin, {"name": name, "domain_id": domain.id})).id for name in ("p", "q")
        ]
        ids.append((await identity.users.create(admin, {"name": "u", "domain_id": domain.id})).id)
        await identity.domains.update(admin, domain.id, {"enabled": False})
        await identity.domains.delete(admin, domain.id)
        self.assertEqual(sorted(self.told), sorted(ids))


class ProjectTests(RecordTests):
    async def test_life(self) -> None:
        _, identity, admin, _ = await self.ready()
        projects = identity.projects
        top = await projects.create(admin, {"name": "top", "domain_id": "default", "parent_id": "default"})
        self.assertEqual(top.parent_id, "default")
        below = await projects.create(admin, {"name": "below", "domain_id": "default", "parent_id": top.id})
        self.assertEqual(await projects.get(admin, below.id), below)
        self.assertEqual((await projects.list(admin, parent_id=top.id)).items, (below,))
        self.assertIn(top, (await projects.list(admin, parent_id="default")).items)
        await self.refused(Forbidden, projects.delete(admin, top.id))
        same = {"domain_id": "default", "parent_id": "default", "description": "x"}
        changed = await projects.update(admin, top.id, same)
        self.assertEqual(changed.description, "x")
        self.assertEqual(await projects.update(admin, top.id, {"domain_id": None, "parent_id": None}), changed)
        for field in ("domain_id", "parent_id"):
            error = await self.refused(BadValue, projects.update(admin, top.id, {field: "other"}))
            self.assertEqual(error.field, f"project.{field}")
        await projects.delete(admin, below.id)
        await projects.delete(admin, top.id)
        await self.refused(NotFound, projects.get(admin, top.id))

    async def test_refused(self) -> None:
        house, identity, admin, demo = await self.ready()
        projects = identity.projects
        other = await identity.domains.create(admin, {"name": "acme"})
        await self.refused(Conflict, projects.create(admin, {"name": "demo", "domain_id": "default"}))
        await projects.create(admin, {"name": "demo", "domain_id": other.id})  # a name is unique in its domain
        await self.refused(NotFound, projects.create(admin, {"name": "x", "domain_id": "nowhere"}))
        foreign = {"name": "x", "domain_id": other.id, "parent_id": house.login["demo_project_id"]}
        await self.refused(BadValue, projects.create(admin, foreign))
        good = {"name": "x", "domain_id": "default"}
        faults: dict[str, list[Any]] = {
            "name": ["", None, 7, "x" * 65],
            "domain_id": [None, 7, "a/b", "x" * 65],
            "parent_id": [7, "no such"],
            "enabled": [None, "no"],
            "id": ["mine"],
        }
        await self.assert_checked(lambda values: projects.create(admin, values), good, faults)
        own = house.login["demo_project_id"]
        self.assertEqual((await projects.get(demo, own)).name, "demo")
        for call in (
            projects.get(demo, house.login["admin_project_id"]),
            projects.get(demo, "nothing"),
            projects.list(demo),
            projects.create(demo, good),
            projects.update(demo, own, {"name": "x"}),
            projects.delete(demo, own),
        ):
            await self.refused(Forbidden, call)

    async def test_pages(self) -> None:
        """Pages follow each other by id without a gap, and are bounded."""
        _, identity, admin, _ = await self.ready()
        for number in range(5):
            await identity.projects.create(admin, {"name": f"p{number}", "domain_id": "default"})
        found: list[str] = []
        marker = None
        while True:
            page = await identity.projects.list(admin, limit=3, marker=marker)
            found += [project.id for project in page.items]
            if not page.truncated:
                break
            marker = found[-1]
        self.assertEqual(found, sorted(found))
        self.assertEqual(len(found), 7)
        for limit in (0, -1, True, "3"):
            await self.refused(BadValue, identity.projects.list(admin, limit=limit))  # type: ignore[arg-type]


class UserTests(RecordTests):
    async def test_life(self) -> None:
        house, identity, admin, _ = await self.ready()
        users = identity.users
        values = {"name": "ann", "domain_id": "default", "password": "secret", "email": "ann@example.org"}
        made = await users.create(admin, values)
        self.assertNotIn("secret", repr(made))
        self.assertEqual(await users.get(admin, made.id), made)
        self.assertEqual((await users.list(admin, name="ann", domain_id="default", enabled=True)).items, (made,))
        issued = await house.login_as(identity, made)
        self.assertEqual(await users.get(issued.access, made.id), made)
        changed = await users.update(admin, made.id, {"name": "Ann", "email": None, "domain_id": "default"})
        self.assertEqual((changed.name, changed.email), ("Ann", None))
        self.assertEqual((await identity.authenticate_token(issued.token)).user_name, "Ann")
        await users.delete(admin, made.id)
        await self.refused(NotFound, users.get(admin, made.id))

    async def test_refused(self) -> None:
        house, identity, admin, demo = await self.ready()
        users = identity.users
        good = {"name": "x", "domain_id": "default"}
        await self.refused(Conflict, users.create(admin, {**good, "name": "demo"}))
        await self.refused(NotFound, users.create(admin, {**good, "domain_id": "nowhere"}))
        await self.refused(BadValue, users.update(admin, demo.user_id, {"domain_id": "other"}))
        faults: dict[str, list[Any]] = {
            "name": ["", None, 7, "x" * 256],
            "password": ["", 7, "x" * 4097],
            "email": [7, "x" * 256],
            "default_project_id": [7, "a b"],
            "password_hash": ["$argon2id$"],
        }
        await self.assert_checked(lambda values: users.create(admin, values), good, faults)
        for call in (
            users.get(demo, house.login["admin_user_id"]),
            users.get(demo, "nobody"),
            users.list(demo),
            users.create(demo, good),
            users.update(demo, demo.user_id, {"name": "x"}),
            users.delete(demo, demo.user_id),
        ):
            await self.refused(Forbidden, call)

    async def test_change_password(self) -> None:
        house, identity, admin, demo = await self.ready()
        old = house.login["demo_password"]
        change = identity.users.change_password
        await self.refused(Unauthorized, change(demo, demo.user_id, "wrong", "new"))
        await self.refused(Forbidden, change(demo, admin.user_id, old, "new"))
        await self.refused(BadValue, change(demo, demo.user_id, old, ""))
        await change(demo, demo.user_id, old, "new")
        await self.refused(Unauthorized, house.demo(identity))
        issued = await identity.authenticate(house.password_login("demo", password="new"))
        self.assertEqual(await house.worker().authenticate_token(issued.token), issued.access)


class RoleTests(RecordTests):
    async def test_life(self) -> None:
        """A role of the operator's own is given, seen in tokens, renamed and deleted with its assignments."""
        house, identity, admin, demo = await self.ready()
        made = await identity.roles.create(admin, {"name": "auditor"})
        place = {"user_id": demo.user_id, "project_id": house.login["demo_project_id"]}
        await identity.assignments.grant(admin, role_id=made.id, **place)
        issued = await house.demo(identity)
        self.assertIn("auditor", issued.access.role_names)
        await identity.roles.update(admin, made.id, {"name": "inspector"})
        self.assertIn("inspector", (await identity.authenticate_token(issued.token)).role_names)
        self.assertEqual((await identity.roles.list(demo, name="inspector")).items[0].id, made.id)
        await identity.roles.delete(admin, made.id)
        self.assertEqual((await identity.authenticate_token(issued.token)).role_names, {"member", "reader"})
        await self.refused(NotFound, identity.roles.get(demo, made.id))

    async def test_refused(self) -> None:
        _, identity, admin, demo = await self.ready()
        roles = identity.roles
        await self.refused(Conflict, roles.create(admin, {"name": "admin"}))
        for name in ROLES:
            await self.refused(Forbidden, roles.update(admin, role_id(name), {"name": "x"}))
            await self.refused(Forbidden, roles.delete(admin, role_id(name)))
        for call in (
            roles.create(demo, {"name": "x"}),
            roles.update(demo, role_id("member"), {"name": "x"}),
            roles.delete(demo, "nothing"),
        ):
            await self.refused(Forbidden, call)
        await self.refused(NotFound, roles.delete(admin, "nothing"))

    async def test_implied(self) -> None:
        _, identity, _, demo = await self.ready()
        rules = {prior.name: [role.name for role in implied] for prior, implied in await identity.roles.implied(demo)}
        self.assertEqual(rules, {"admin": ["manager"], "manager": ["member"], "member": ["reader"]})


class DomainManagerTests(RecordTests):
    """Who has the role manager on a domain runs that domain, and nothing else."""

    async def managed(self) -> tuple[House, Identity, Access, str]:
        house, identity, admin, _ = await self.ready()
        domain = await identity.domains.create(admin, {"name": "acme"})
        user = await house.member(identity, "boss", "manager", domain=domain.id)
        boss = (await house.login_as(identity, user, DomainScope(id=domain.id))).access
        return house, identity, boss, domain.id

    async def test_own_domain(self) -> None:
        _, identity, boss, domain_id = await self.managed()
        project = await identity.projects.create(boss, {"name": "p", "domain_id": domain_id})
        user = await identity.users.create(boss, {"name": "u", "domain_id": domain_id, "password": "x"})
        place = {"user_id": user.id, "project_id": project.id}
        await identity.assignments.grant(boss, role_id=role_id("member"), **place)
        self.assertEqual([role.name for role in await identity.assignments.roles(boss, **place)], ["member"])
        self.assertEqual((await identity.projects.list(boss)).items, (project,))
        self.assertEqual({one.name for one in (await identity.users.list(boss)).items}, {"boss", "u"})
        self.assertEqual([one.id for one in (await identity.domains.list(boss)).items], [domain_id])
        listed = await identity.assignments.list(boss, names=True)
        self.assertEqual({one.user_domain_id for one in listed.items}, {domain_id})
        await identity.users.update(boss, user.id, {"enabled": False})
        await identity.projects.delete(boss, project.id)
        await identity.users.delete(boss, user.id)

    async def test_nothing_else(self) -> None:
        house, identity, boss, domain_id = await self.managed()
        demo, project = house.login["demo_user_id"], house.login["demo_project_id"]
        grant, own = identity.assignments.grant, {"user_id": boss.user_id, "domain_id": domain_id}
        for call in (
            identity.projects.list(boss, domain_id="default"),
            identity.projects.get(boss, project),
            identity.projects.create(boss, {"name": "p", "domain_id": "default"}),
            identity.users.list(boss, domain_id="default"),
            identity.users.get(boss, demo),
            identity.users.update(boss, demo, {"password": "x"}),
            identity.users.create(boss, {"name": "u", "domain_id": "default"}),
            identity.domains.get(boss, "default"),
            identity.domains.update(boss, domain_id, {"name": "x"}),
            grant(boss, role_id=role_id("admin"), **own),
            grant(boss, role_id=role_id("member"), user_id=demo, domain_id=domain_id),
            grant(boss, role_id=role_id("member"), user_id=boss.user_id, project_id=project),
        ):
            await self.refused(Forbidden, call)
        # A list of assignments is limited to the own domain, whatever is asked for.
        foreign: list[dict[str, Any]] = [{"user_id": demo}, {"domain_id": "default"}, {"project_id": project}]
        for filters in foreign:
            self.assertEqual((await identity.assignments.list(boss, **filters)).items, ())

    async def test_no_way_up(self) -> None:
        """An administrator in the domain is out of its manager's reach: a new password would be a way up."""
        house, identity, boss, domain_id = await self.managed()
        chief = await house.member(
            identity, "chief", "admin", project=house.login["admin_project_id"], domain=domain_id
        )
        await self.refused(Forbidden, identity.users.update(boss, chief.id, {"password": "x"}))
        await self.refused(Forbidden, identity.users.delete(boss, chief.id))
        issued = await house.login_as(identity, chief)
        self.assertTrue(issued.access.is_admin)
