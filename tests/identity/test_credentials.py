"""Application credentials, EC2 credentials, and what one could ask a token for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from cloudd.database.tables import application_credential, ec2_credential
from cloudd.identity import (
    Access,
    ApplicationCredentialLogin,
    AuthRequest,
    BadValue,
    Conflict,
    Forbidden,
    Identity,
    IdentityUnavailable,
    NoSuchCredential,
    NotFound,
    Unscoped,
)
from cloudd.identity._bootstrap import role_id
from tests.identity.test_records import RecordTests


async def access_by(identity: Identity, credential_id: str, secret: str | None) -> Access:
    login = ApplicationCredentialLogin(id=credential_id, secret=secret or "")
    request = AuthRequest(methods=("application_credential",), application_credential=login)
    return (await identity.authenticate(request)).access


class ApplicationCredentialTests(RecordTests):
    async def test_life(self) -> None:
        house, identity, admin, demo = await self.ready()
        credentials, user = identity.application_credentials, demo.user_id
        made = await credentials.create(demo, user, {"name": "ci", "description": "x", "unrestricted": None or False})
        assert made.secret is not None
        self.assertNotIn(made.secret, repr(made))
        self.assertEqual({role.name for role in made.roles}, {"member", "reader"})
        self.assertEqual(made.project_id, house.login["demo_project_id"])
        kept = await credentials.get(demo, user, made.id)
        self.assertEqual((kept.secret, kept.name, kept.roles), (None, "ci", made.roles))
        self.assertEqual((await credentials.list(admin, user, name="ci")).items, (kept,))
        await self.refused(Conflict, credentials.create(demo, user, {"name": "ci"}))
        await credentials.delete(demo, user, made.id)
        await self.refused(NotFound, credentials.get(demo, user, made.id))

    async def test_secret_is_hashed(self) -> None:
        house, identity, _, demo = await self.ready()
        await identity.application_credentials.create(demo, demo.user_id, {"name": "ci", "secret": "my own"})

        def stored(connection: Connection) -> str:
            return str(connection.execute(select(application_credential.c.secret_hash)).scalar_one())

        self.assertTrue((await house.database().read(stored)).startswith("$argon2id$"))

    async def test_refused(self) -> None:
        house, identity, admin, demo = await self.ready()
        credentials, user = identity.application_credentials, demo.user_id
        faults: dict[str, list[Any]] = {
            "name": ["", None, 7, "x" * 256],
            "secret": ["", 7, "x" * 256],
            "expires_at": [1, "yesterday", "1999-01-01T00:00:00", True, 1.5],
            "unrestricted": ["yes", None],
            "roles": ["reader", ["reader"], [{}], [{"name": "admin"}], [{"id": role_id("admin")}]],
            "access_rules": [[]],
        }
        await self.assert_checked(lambda values: credentials.create(demo, user, values), {"name": "x"}, faults)
        unscoped = (await identity.authenticate(house.password_login("demo", Unscoped()))).access
        for call in (
            credentials.create(admin, user, {"name": "x"}),  # nobody makes one for another, the operator neither
            credentials.create(unscoped, user, {"name": "x"}),
            credentials.list(demo, admin.user_id),
            credentials.get(demo, admin.user_id, "x"),
            credentials.delete(demo, admin.user_id, "x"),
        ):
            await self.refused(Forbidden, call)

    async def test_restricted(self) -> None:
        """With a restricted one no further one is made or deleted; with an unrestricted one, for its roles only."""
        _, identity, _, demo = await self.ready()
        credentials, user = identity.application_credentials, demo.user_id
        closed = await credentials.create(demo, user, {"name": "closed"})
        open_one = await credentials.create(
            demo, user, {"name": "open", "unrestricted": True, "roles": [{"id": role_id("reader")}]}
        )
        by_closed = await access_by(identity, closed.id, closed.secret)
        by_open = await access_by(identity, open_one.id, open_one.secret)
        for call in (
            credentials.create(by_closed, user, {"name": "x"}),
            credentials.delete(by_closed, user, open_one.id),
            identity.ec2_credentials.create(by_closed, user, demo.project_id or ""),
            identity.ec2_credentials.list(by_closed, user),
        ):
            await self.refused(Forbidden, call)
        self.assertEqual(len((await credentials.list(by_closed, user)).items), 2)
        await self.refused(BadValue, credentials.create(by_open, user, {"name": "x", "roles": [{"name": "member"}]}))
        made = await credentials.create(by_open, user, {"name": "x"})
        self.assertEqual([role.name for role in made.roles], ["reader"])

    async def test_role_taken_from_the_user(self) -> None:
        """A credential never gives more than its user has now."""
        house, identity, admin, demo = await self.ready()
        made = await identity.application_credentials.create(demo, demo.user_id, {"name": "ci"})
        place = {"user_id": demo.user_id, "project_id": house.login["demo_project_id"]}
        await identity.assignments.grant(admin, role_id=role_id("reader"), **place)
        await identity.assignments.revoke(admin, role_id=role_id("member"), **place)
        self.assertEqual((await access_by(identity, made.id, made.secret)).role_names, {"reader"})


class Ec2CredentialTests(RecordTests):
    async def test_life(self) -> None:
        house, identity, admin, demo = await self.ready()
        credentials, user, project = identity.ec2_credentials, demo.user_id, demo.project_id or ""
        made = await credentials.create(demo, user, project)
        self.assertNotIn(made.secret, repr(made))
        self.assertEqual((await identity.ec2_access(made.access)).secret, made.secret)
        self.assertEqual(await credentials.get(admin, user, made.access), made)
        self.assertEqual(len((await credentials.list(demo, user)).items), 2)

        def stored(connection: Connection) -> list[str]:
            return list(connection.execute(select(ec2_credential.c.sealed_secret)).scalars())

        self.assertNotIn(made.secret, str(await house.database().read(stored)))
        await credentials.delete(demo, user, made.access)
        await self.refused(NotFound, credentials.get(demo, user, made.access))
        await self.refused(NoSuchCredential, identity.ec2_access(made.access))

    async def test_refused(self) -> None:
        house, identity, admin, demo = await self.ready()
        credentials = identity.ec2_credentials
        own, other = house.login["demo_project_id"], house.login["admin_project_id"]
        for call in (
            credentials.create(demo, demo.user_id, other),
            credentials.create(demo, demo.user_id, "nowhere"),
            credentials.create(demo, admin.user_id, own),
            credentials.list(demo, admin.user_id),
            credentials.get(demo, admin.user_id, house.login["ec2_access"]),
        ):
            await self.refused(Forbidden, call)
        await self.refused(NotFound, credentials.create(admin, "nobody", own))
        await self.refused(NotFound, credentials.create(admin, demo.user_id, "nowhere"))
        await self.refused(NotFound, credentials.get(admin, admin.user_id, house.login["ec2_access"]))
        await self.refused(BadValue, credentials.create(demo, demo.user_id, "a b"))
        for key in ("", "nothing", "\ud800", "x" * 5000):
            await self.refused(NoSuchCredential, identity.ec2_access(key))

    async def test_lost_key(self) -> None:
        """Without the key that sealed it, a secret is not given out as anything else."""
        house, identity, _, demo = await self.ready()
        folder = house.folder / "secrets" / "credentials"
        (folder / "2").write_bytes((house.folder / "secrets" / "tokens" / "1").read_bytes())
        (folder / "1").unlink()
        await self.refused(IdentityUnavailable, identity.ec2_credentials.list(demo, demo.user_id))
        await self.refused(NoSuchCredential, identity.ec2_access(house.login["ec2_access"]))


class OwnTests(RecordTests):
    async def test_projects_and_domains(self) -> None:
        house, identity, admin, demo = await self.ready()
        self.assertEqual([one.name for one in await identity.own.projects(demo)], ["demo"])
        self.assertEqual([one.name for one in await identity.own.domains(admin)], ["Default"])
        self.assertEqual(await identity.own.domains(demo), [])
        other = await identity.projects.create(admin, {"name": "other", "domain_id": "default"})
        await identity.assignments.grant(admin, role_id=role_id("reader"), user_id=demo.user_id, project_id=other.id)
        self.assertEqual({one.name for one in await identity.own.projects(demo)}, {"demo", "other"})
        by_key = (await identity.tempauth(house.login["ec2_access"], house.login["ec2_secret"])).access
        self.assertEqual([one.name for one in await identity.own.projects(by_key)], ["demo"])
        await identity.projects.update(admin, other.id, {"enabled": False})
        self.assertEqual([one.name for one in await identity.own.projects(demo)], ["demo"])
