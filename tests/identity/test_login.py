"""Logging in: methods, scopes, and what a refusal tells."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import TestCase

from cloudd.identity import (
    ApplicationCredentialLogin,
    AuthRequest,
    BadValue,
    DomainScope,
    Identity,
    IdentityError,
    NotOffered,
    PasswordLogin,
    ProjectScope,
    Scope,
    Unauthorized,
    Unscoped,
    UserRef,
)
from tests.identity.house import House


class PasswordTests(TestCase):
    async def test_every_way_to_name_a_user(self) -> None:
        house = await House.built(self)
        identity = house.worker()
        users = (
            UserRef(id=house.login["demo_user_id"]),
            UserRef(name="demo", domain_id="default"),
            UserRef(name="demo", domain_name="Default"),
        )
        for user in users:
            login = PasswordLogin(user=user, password=house.login["demo_password"])
            issued = await identity.authenticate(AuthRequest(methods=("password",), password=login))
            self.assertEqual(issued.access.user_id, house.login["demo_user_id"])
            self.assertEqual(issued.access.methods, ("password",))
            self.assertEqual(len(issued.access.audit_ids), 1)

    async def test_every_scope(self) -> None:
        """Project by id and name, domain by id and name, unscoped by name; roles are those of the scope."""
        house = await House.built(self)
        identity = house.worker()
        project = house.login["admin_project_id"]
        cases: list[tuple[Scope | None, str | None, str | None]] = [
            (None, project, None),
            (ProjectScope(id=project), project, None),
            (ProjectScope(name="admin", domain_id="default"), project, None),
            (ProjectScope(name="admin", domain_name="Default"), project, None),
            (DomainScope(id="default"), None, "default"),
            (DomainScope(name="Default"), None, "default"),
            (Unscoped(), None, None),
        ]
        for scope, project_id, domain_id in cases:
            issued = await identity.authenticate(house.password_login("admin", scope))
            access = await house.worker().authenticate_token(issued.token)
            self.assertEqual(access, issued.access)
            self.assertEqual((access.project_id, access.domain_id), (project_id, domain_id))
            scoped = scope != Unscoped()
            self.assertEqual(access.role_names, {"admin", "manager", "member", "reader"} if scoped else frozenset())
            self.assertEqual(bool(identity.catalog(access)), scoped)

    async def test_refusals_look_the_same(self) -> None:
        """Unknown user, wrong password, foreign or missing scope, disabled user: one and the same answer."""
        house = await House.built(self)
        identity = house.worker()
        admin = await house.admin(identity)
        off = await house.member(identity, "off", project=house.login["demo_project_id"])
        await identity.users.update(admin, off.id, {"enabled": False})
        right = house.login["demo_password"]
        requests = [
            house.password_login("demo", password="wrong"),
            house.password_login("demo", password=""),
            house.password_login("nobody", password=right),
            house.password_login("off", password="secret"),
            house.password_login("demo", house.project_scope("admin")),
            house.password_login("demo", ProjectScope(id="nowhere")),
            house.password_login("demo", ProjectScope(name="nowhere", domain_id="default")),
            house.password_login("demo", DomainScope(id="default")),
            house.password_login("demo", DomainScope(name="nowhere")),
            evolve(house.password_login("demo"), methods=("password", "saml2")),
        ]
        told = set()
        for request in requests:
            with self.assertRaises(Unauthorized) as caught:
                await identity.authenticate(request)
            told.add(caught.exception.cause)
            self.assertNotIn(right, caught.exception.reason)
        self.assertEqual(len(told), 1)

    async def test_default_project_of_no_use(self) -> None:
        """Without a role on the default project the token is unscoped, as Keystone's."""
        house = await House.built(self)
        identity = house.worker()
        user = await house.member(identity, "new", project=house.login["demo_project_id"])
        admin = await house.admin(identity)
        await identity.users.update(admin, user.id, {"default_project_id": house.login["admin_project_id"]})
        self.assertIsNone((await house.login_as(identity, user)).access.project_id)

    async def test_user_without_password(self) -> None:
        house = await House.built(self)
        identity = house.worker()
        admin = await house.admin(identity)
        await identity.users.create(admin, {"name": "machine", "domain_id": "default"})
        with self.assertRaises(Unauthorized):
            await identity.authenticate(house.password_login("machine", password=""))


class TokenMethodTests(TestCase):
    async def test_rescoped(self) -> None:
        """A token from a token expires with it, keeps its chain, and names both methods."""
        house = await House.built(self)
        identity = house.worker()
        first = await identity.authenticate(house.password_login("demo", Unscoped()))
        house.clock.advance(60)
        request = AuthRequest(methods=("token",), token=first.token, scope=house.project_scope("demo"))
        second = await house.worker().authenticate(request)
        self.assertEqual(second.access.project_id, house.login["demo_project_id"])
        self.assertEqual(second.access.expires_at, first.access.expires_at)
        self.assertEqual(second.access.methods, ("password", "token"))
        self.assertEqual(second.access.audit_ids[1:], first.access.audit_ids)

    async def test_expired(self) -> None:
        house = await House.built(self, token_lifetime_s=60)
        identity = house.worker()
        issued = await house.demo(identity)
        house.clock.advance(60)
        self.assertIsNone(identity.cached(issued.token))
        with self.assertRaises(IdentityError):
            await identity.authenticate_token(issued.token)
        with self.assertRaises(Unauthorized):
            await identity.authenticate(AuthRequest(methods=("token",), token=issued.token))

    async def test_methods_of_two_users(self) -> None:
        house = await House.built(self)
        identity = house.worker()
        issued = await house.demo(identity)
        both = evolve(house.password_login("demo"), methods=("password", "token"), token=issued.token)
        self.assertEqual((await identity.authenticate(both)).access.methods, ("password", "token"))
        with self.assertRaises(Unauthorized):
            await identity.authenticate(
                evolve(house.password_login("admin"), methods=("token", "password"), token=issued.token)
            )


class ApplicationCredentialTests(TestCase):
    async def made(self, **values: Any) -> tuple[House, Identity, str, str]:
        house = await House.built(self)
        identity = house.worker()
        access = (await house.demo(identity)).access
        made = await identity.application_credentials.create(access, access.user_id, {"name": "ci", **values})
        assert made.secret is not None
        return house, identity, made.id, made.secret

    async def test_log_in(self) -> None:
        """By id, and by name with its user; to its project and roles only, whatever is asked for."""
        house, identity, credential_id, secret = await self.made(roles=[{"name": "reader"}])
        user = UserRef(name="demo", domain_id="default")
        for login in (
            ApplicationCredentialLogin(id=credential_id, secret=secret),
            ApplicationCredentialLogin(name="ci", user=user, secret=secret),
        ):
            request = AuthRequest(methods=("application_credential",), application_credential=login)
            access = (await identity.authenticate(request)).access
            self.assertEqual(access.role_names, {"reader"})
            self.assertEqual(access.project_id, house.login["demo_project_id"])
            self.assertEqual(access.application_credential_id, credential_id)
            self.assertFalse(access.unrestricted)
            for scope in (house.project_scope("admin"), Unscoped(), DomainScope(id="default")):
                with self.assertRaises(Unauthorized):
                    await identity.authenticate(evolve(request, scope=scope))

    async def test_token_of_it_goes_nowhere_else(self) -> None:
        """A token got with it can be renewed for the same project, with the same roles, and for no other scope."""
        _house, identity, credential_id, secret = await self.made(roles=[{"name": "reader"}])
        login = ApplicationCredentialLogin(id=credential_id, secret=secret)
        issued = await identity.authenticate(
            AuthRequest(methods=("application_credential",), application_credential=login)
        )
        again = await identity.authenticate(AuthRequest(methods=("token",), token=issued.token))
        self.assertEqual(again.access.role_names, {"reader"})
        self.assertEqual(again.access.application_credential_id, credential_id)
        with self.assertRaises(Unauthorized):
            await identity.authenticate(AuthRequest(methods=("token",), token=issued.token, scope=Unscoped()))

    async def test_refused(self) -> None:
        _house, identity, credential_id, secret = await self.made()
        user = UserRef(name="demo", domain_id="default")
        for login in (
            ApplicationCredentialLogin(id=credential_id, secret=secret + "x"),
            ApplicationCredentialLogin(id="nothing", secret=secret),
            ApplicationCredentialLogin(name="other", user=user, secret=secret),
            ApplicationCredentialLogin(name="ci", user=UserRef(name="x", domain_id="default"), secret=secret),
        ):
            with self.assertRaises(Unauthorized):
                await identity.authenticate(
                    AuthRequest(methods=("application_credential",), application_credential=login)
                )

    async def test_expires(self) -> None:
        """No token of it lives longer than the credential."""
        house, identity, credential_id, secret = await self.made(expires_at=1_800_000_060_000_000)
        login = ApplicationCredentialLogin(id=credential_id, secret=secret)
        request = AuthRequest(methods=("application_credential",), application_credential=login)
        issued = await identity.authenticate(request)
        self.assertEqual(issued.access.expires_at, 1_800_000_060_000_000)
        house.clock.advance(60)
        with self.assertRaises(Unauthorized):
            await identity.authenticate(request)
        self.assertIsNone(identity.cached(issued.token))

    async def test_deleted(self) -> None:
        house, identity, credential_id, secret = await self.made()
        login = ApplicationCredentialLogin(id=credential_id, secret=secret)
        request = AuthRequest(methods=("application_credential",), application_credential=login)
        issued = await identity.authenticate(request)
        owner = (await house.demo(identity)).access
        await identity.application_credentials.delete(owner, owner.user_id, credential_id)
        self.assertIsNone(identity.cached(issued.token))
        with self.assertRaises(IdentityError):
            await identity.authenticate_token(issued.token)
        with self.assertRaises(Unauthorized):
            await identity.authenticate(request)


class TempauthTests(TestCase):
    async def test_refused(self) -> None:
        house = await House.built(self)
        identity = house.worker()
        password, secret, key = (house.login[name] for name in ("demo_password", "ec2_secret", "ec2_access"))
        for user, given in (
            ("demo:demo", "wrong"),
            ("admin:demo", password),
            ("nowhere:demo", password),
            ("demo", password),
            ("", ""),
            (key, "wrong"),
            (key, secret + "x"),
            (key, "\ud800"),
            ("0" * 32, secret),
            ("\ud800", secret),
        ):
            with self.assertRaises(IdentityError):
                await identity.tempauth(user, given)

    async def test_key_makes_no_further_keys(self) -> None:
        """Who has an EC2 key can neither read nor make credentials with the token got for it."""
        house = await House.built(self)
        identity = house.worker()
        access = (await identity.tempauth(house.login["ec2_access"], house.login["ec2_secret"])).access
        self.assertEqual(access.methods, ("ec2credential",))
        with self.assertRaises(IdentityError):
            await identity.ec2_credentials.list(access, access.user_id)
        with self.assertRaises(IdentityError):
            await identity.application_credentials.create(access, access.user_id, {"name": "x"})


class FormTests(TestCase):
    async def test_each_fault_names_its_field(self) -> None:
        house = await House.built(self)
        identity = house.worker()
        right = house.password_login("demo")
        named = ApplicationCredentialLogin(name="x", secret="y")
        odd: Any = 7

        def by(user: UserRef, password: Any = "x") -> AuthRequest:
            return AuthRequest(methods=("password",), password=PasswordLogin(user=user, password=password))

        cases: list[tuple[AuthRequest, str]] = [
            (AuthRequest(methods=()), "auth.identity.methods"),
            (AuthRequest(methods=("password",)), "auth.identity.password"),
            (AuthRequest(methods=("token",)), "auth.identity.token"),
            (AuthRequest(methods=("token",), token=odd), "auth.identity.token.id"),
            (by(UserRef()), "auth.identity.password.user"),
            (by(UserRef(name="demo")), "auth.identity.password.user.domain"),
            (by(UserRef(name=odd, domain_id="default")), "auth.identity.password.user.name"),
            (by(UserRef(id="x" * 256)), "auth.identity.password.user.id"),
            (by(UserRef(id="x\0")), "auth.identity.password.user.id"),
            (by(UserRef(id="\ud800")), "auth.identity.password.user.id"),
            (by(UserRef(id="x"), odd), "auth.identity.password.user.password"),
            (by(UserRef(id="x"), "x" * 4097), "auth.identity.password.user.password"),
            (evolve(right, scope=ProjectScope()), "auth.scope.project"),
            (evolve(right, scope=ProjectScope(name="x")), "auth.scope.project.domain"),
            (evolve(right, scope=DomainScope()), "auth.scope.domain"),
            (
                AuthRequest(methods=("application_credential",), application_credential=named),
                "auth.identity.application_credential",
            ),
        ]
        for request, field in cases:
            with self.assertRaises(BadValue) as caught:
                await identity.authenticate(request)
            self.assertEqual(caught.exception.field, field)

    async def test_other_scopes(self) -> None:
        house = await House.built(self)
        system: Any = {"system": {"all": True}}
        with self.assertRaises(NotOffered):
            await house.worker().authenticate(house.password_login("admin", system))
