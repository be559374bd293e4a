"""
What ends a token ends it in every worker within a second.

Two workers share a database and a clock; the change is made through one, the other must follow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, delete
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database.tables import revocation
from cloudd.identity import (
    Access,
    AuthRequest,
    Concerns,
    Identity,
    InvalidToken,
    IssuedToken,
    NoSuchCredential,
    Unauthorized,
    _revocation,
)
from cloudd.identity._bootstrap import role_id
from cloudd.identity._login import Login
from cloudd.identity._tokens import TokenFacts
from tests.database.choice import on_postgres
from tests.identity.house import House


class WithinASecondTests(TestCase):
    async def follows(self, change: Callable[[House, Identity, Access, IssuedToken], Awaitable[Any]]) -> None:
        """``change`` of one worker ends the token of demo in the other: by its poll, and by distrust of old news."""
        house = await House.built(self)
        here, there, elsewhere = house.worker(), house.worker(), house.worker()
        admin, issued = await house.admin(here), await house.demo(here)
        for worker in (there, elsewhere):
            await worker.authenticate_token(issued.token)
            self.assertIsNotNone(worker.cached(issued.token))
        told: list[Concerns] = []
        unfollow = there.follow(told.append)
        await change(house, here, admin, issued)
        await self.assert_refused(here, issued)
        house.clock.advance(0.4)  # the poll of `there`
        await there._verification.watch.look()
        self.assertIsNone(there.cached(issued.token))
        # Who keeps something open for the token has heard of it, in time to ask again.
        self.assertTrue(any(concerns(issued.access) for concerns in told))
        unfollow()
        elsewhere.retire()  # a worker that does not get to its polls
        house.clock.advance(0.6)
        self.assertIsNone(elsewhere.cached(issued.token))
        await self.assert_refused(there, issued)
        await self.assert_refused(elsewhere, issued)

    async def assert_refused(self, identity: Identity, issued: IssuedToken) -> None:
        self.assertIsNone(identity.cached(issued.token))
        with self.assertRaises(InvalidToken):
            await identity.authenticate_token(issued.token)

    async def test_revoked(self) -> None:
        await self.follows(lambda _, here, admin, issued: here.revoke(admin, issued.token))

    async def test_user_disabled(self) -> None:
        await self.follows(
            lambda _, here, admin, issued: here.users.update(admin, issued.access.user_id, {"enabled": False})
        )

    async def test_user_disabled_for_a_moment(self) -> None:
        """Enabling the user again does not bring the token back."""

        async def change(_: House, here: Identity, admin: Access, issued: IssuedToken) -> None:
            for enabled in (False, True):
                await here.users.update(admin, issued.access.user_id, {"enabled": enabled})

        await self.follows(change)

    async def test_user_deleted(self) -> None:
        await self.follows(lambda _, here, admin, issued: here.users.delete(admin, issued.access.user_id))

    async def test_password_set(self) -> None:
        await self.follows(
            lambda _, here, admin, issued: here.users.update(admin, issued.access.user_id, {"password": "new"})
        )

    async def test_password_changed(self) -> None:
        await self.follows(
            lambda house, here, _, issued: here.users.change_password(
                issued.access, issued.access.user_id, house.login["demo_password"], "new"
            )
        )

    async def test_role_unassigned(self) -> None:
        await self.follows(
            lambda house, here, admin, issued: here.assignments.revoke(
                admin,
                role_id=role_id("member"),
                user_id=issued.access.user_id,
                project_id=house.login["demo_project_id"],
            )
        )

    async def test_project_disabled(self) -> None:
        await self.follows(
            lambda house, here, admin, _: here.projects.update(
                admin, house.login["demo_project_id"], {"enabled": False}
            )
        )

    async def test_project_deleted(self) -> None:
        await self.follows(lambda house, here, admin, _: here.projects.delete(admin, house.login["demo_project_id"]))

    async def test_everybody(self) -> None:
        """The event for all tokens, which an operator may need after a theft."""
        await self.follows(lambda _, here, __, ___: write_event(here, _revocation.EVERYBODY))


async def write_event(identity: Identity, subject: str) -> None:
    now = identity._verification.now_us()
    await identity._store.write(_revocation.record, now, refuse=[subject])
    await identity._caught_up()


class ChangeTests(TestCase):
    async def test_role_added_and_taken(self) -> None:
        """A token follows its user's roles: more, fewer; it stays valid while one is left."""
        house = await House.built(self)
        here, there = house.worker(), house.worker()
        admin, issued = await house.admin(here), await house.demo(there)
        place = {"user_id": issued.access.user_id, "project_id": house.login["demo_project_id"]}
        await here.assignments.grant(admin, role_id=role_id("manager"), **place)
        house.clock.advance(1.0)
        self.assertIn("manager", (await there.authenticate_token(issued.token)).role_names)
        await here.assignments.revoke(admin, role_id=role_id("manager"), **place)
        house.clock.advance(1.0)
        self.assertEqual((await there.authenticate_token(issued.token)).role_names, {"member", "reader"})

    async def test_ec2_deleted(self) -> None:
        """A deleted EC2 key opens nothing within a second, and tokens got with it end."""
        house = await House.built(self)
        here, there = house.worker(), house.worker()
        key = house.login["ec2_access"]
        issued = await there.tempauth(key, house.login["ec2_secret"])
        await there.ec2_access(key)
        await here.ec2_credentials.delete(await house.admin(here), house.login["demo_user_id"], key)
        with self.assertRaises(NoSuchCredential):
            await here.ec2_access(key)
        house.clock.advance(0.95)
        with self.assertRaises(NoSuchCredential):
            await there.ec2_access(key)
        with self.assertRaises(InvalidToken):
            await there.authenticate_token(issued.token)

    async def test_ec2_of_disabled_project(self) -> None:
        """The cached secret of a disabled project is not given out; it is again when the project is enabled."""
        house = await House.built(self)
        here, there = house.worker(), house.worker()
        admin, project = await house.admin(here), house.login["demo_project_id"]
        await there.ec2_access(house.login["ec2_access"])
        await here.projects.update(admin, project, {"enabled": False})
        house.clock.advance(0.95)
        with self.assertRaises(NoSuchCredential):
            await there.ec2_access(house.login["ec2_access"])
        await here.projects.update(admin, project, {"enabled": True})
        await there.ec2_access(house.login["ec2_access"])

    async def test_own_token_only(self) -> None:
        """Revoking one token leaves those got before and with it."""
        house = await House.built(self)
        identity = house.worker()
        first = await house.demo(identity)
        second = await identity.authenticate(AuthRequest(methods=("token",), token=first.token))
        await identity.revoke(second.access, second.token)
        self.assertEqual(await identity.authenticate_token(first.token), first.access)

    async def test_chain(self) -> None:
        """The event for a chain ends the first token and all that were got with it."""
        house = await House.built(self)
        identity = house.worker()
        first = await house.demo(identity)
        second = await identity.authenticate(AuthRequest(methods=("token",), token=first.token))
        third = await identity.authenticate(AuthRequest(methods=("token",), token=second.token))
        other = await house.demo(identity)
        await write_event(identity, _revocation.chain(first.access.audit_ids[-1]))
        for issued in (first, second, third):
            with self.assertRaises(InvalidToken):
                await identity.authenticate_token(issued.token)
        await identity.authenticate_token(other.token)


class RaceTests(TestCase):
    """A log-in and a change at the same moment."""

    async def test_login_with_the_old_password(self) -> None:
        """The password is replaced after it was checked and before the token is made."""
        house = await House.built(self)
        identity = house.worker()
        admin = await house.admin(identity)
        issue = Login._issue

        async def issue_later(login: Login, *args: Any) -> IssuedToken:
            await identity.users.update(admin, house.login["demo_user_id"], {"password": "new"})
            return await issue(login, *args)

        self.patch(Login, "_issue", issue_later)
        with self.assertRaises(Unauthorized):
            await house.demo(identity)

    async def test_token_issued_before_the_commit(self) -> None:
        """A clock that runs ahead does not save a token whose maker had not seen the change."""
        house = await House.built(self)
        identity = house.worker()
        house.clock.advance(3600)
        early = await house.demo(identity)
        past = identity._verification.now_us() - 3_600_000_000
        user = _revocation.user(early.access.user_id)
        await identity._store.write(_revocation.record, past, refuse=[user])
        await identity._caught_up()
        with self.assertRaises(InvalidToken):
            await identity.authenticate_token(early.token)
        later = await house.demo(identity)
        self.assertEqual(await house.worker().authenticate_token(later.token), later.access)

    async def test_clock_behind(self) -> None:
        """A log-in after the change is good, also where the clock of its node is minutes behind."""
        house = await House.built(self)
        here, there = house.worker(), house.worker()
        issued = await house.demo(here)
        await write_event(here, _revocation.user(issued.access.user_id))
        house.clock.advance(-300)
        later = await house.demo(there)
        self.assertEqual(await there.authenticate_token(later.token), later.access)
        house.clock.advance(300)
        self.assertEqual(await house.worker().authenticate_token(later.token), later.access)
        with self.assertRaises(InvalidToken):
            await there.authenticate_token(issued.token)

    async def test_restored_backup(self) -> None:
        """Events that begin at a lower number again still end tokens from before the restore."""
        house = await House.built(self)
        identity = house.worker()
        for _ in range(3):
            await write_event(identity, "something")
        issued = await house.demo(identity)

        def restore(connection: Connection) -> None:
            connection.execute(delete(revocation))
            anew = (
                "ALTER SEQUENCE identity_revocation_id_seq RESTART" if on_postgres() else "DELETE FROM sqlite_sequence"
            )
            connection.exec_driver_sql(anew)

        await identity._store.write(restore)
        house.clock.advance(1000)
        after = house.worker()
        self.assertEqual(await after.authenticate_token(issued.token), issued.access)
        await write_event(after, _revocation.user(issued.access.user_id))
        with self.assertRaises(InvalidToken):
            await after.authenticate_token(issued.token)

    async def test_child_of_a_revoked_token(self) -> None:
        """A worker that has not heard of the revocation yet gives no new token for the old one."""
        house = await House.built(self)
        here, there = house.worker(), house.worker()
        issued = await house.demo(there)
        await here.revoke(await house.admin(here), issued.token)
        self.assertIsNotNone(there.cached(issued.token))
        with self.assertRaises(Unauthorized):
            await there.authenticate(AuthRequest(methods=("token",), token=issued.token))


class PurgeTests(TestCase):
    async def test_old_events_go(self) -> None:
        """Events go when no token can be as old; the newest stays, so that readers know where they are."""
        house = await House.built(self, token_lifetime_s=60)
        identity = house.worker()
        for name in ("a", "b", "c"):
            await write_event(identity, name)
        house.clock.advance(60 + 3600 + 1)
        await identity._purge()
        _, left = await identity._store.read(_revocation.since, 0)
        self.assertEqual(left, {"c"})
        issued = await house.demo(identity)
        await write_event(identity, _revocation.user(issued.access.user_id))
        with self.assertRaises(InvalidToken):
            await identity.authenticate_token(issued.token)


class ConcernTests(SynchronousTestCase):
    """Which kept access an event may concern: never too few."""

    @given(st.sampled_from(["p", None]), st.sampled_from(["d", None]), st.sampled_from(["a", None]), st.booleans())
    def test_never_missed(self, project: str | None, domain: str | None, credential: str | None, ec2: bool) -> None:
        """Whatever can end the token concerns its access."""
        facts = TokenFacts(
            user_id="u",
            methods=("password",),
            audit_ids=("own", "first"),
            issued_at=1,
            expires_at=2,
            project_id=project,
            domain_id=None if project else domain,
            application_credential_id=credential,
            ec2_access="k" if ec2 else None,
        )
        domains = ["ud", *(["pd"] if project else [domain] if domain else [])]
        access = Access(
            user_id="u",
            user_name="U",
            user_domain_id="ud",
            user_domain_name="UD",
            project_id=project,
            project_domain_id="pd" if project else None,
            domain_id=facts.domain_id,
            audit_ids=facts.audit_ids,
            application_credential_id=credential,
        )
        for subject in _revocation.subjects_of(facts, domains):
            self.assertTrue(_revocation.may_concern({subject}, access), subject)

    def test_others(self) -> None:
        """Somebody else's events concern nobody else."""
        access = Access(user_id="u", user_name="U", user_domain_id="ud", user_domain_name="UD", audit_ids=("own",))
        others = {"user:x", "token:other", "chain:other", "project:p", "domain:d", "credential:a", "user:u/p"}
        self.assertFalse(_revocation.may_concern(others, access))
        self.assertFalse(_revocation.may_concern(set(), access))
