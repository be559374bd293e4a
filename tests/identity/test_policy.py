"""The rules as a table: who passes which."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.identity import Access, Forbidden, RoleRef
from cloudd.identity._policy import RULES, Rule, Target, Where, allows, enforce

THEIRS = Target(user_id="other", project_id="elsewhere", domain_id="abroad")
MINE = Target(user_id="me", project_id="here", domain_id="home")
ANYBODY = {"get_role", "list_roles"}


def access(
    *roles: str, project: bool = False, domain: bool = False, unrestricted: bool = True, credential: str | None = None
) -> Access:
    return Access(
        user_id="me",
        user_name="me",
        user_domain_id="home",
        user_domain_name="home",
        project_id="here" if project else None,
        project_domain_id="home" if project else None,
        domain_id="home" if domain else None,
        roles=tuple(RoleRef(name, name) for name in roles),
        unrestricted=unrestricted,
        application_credential_id=credential,
    )


def allowed(who: Access, target: Target) -> set[str]:
    return {action for action in RULES if allows(who, action, target)}


class PolicyTests(SynchronousTestCase):
    def test_admin(self) -> None:
        """An administrator may do everything but act as somebody else."""
        admin = access("admin", "manager", "member", "reader", project=True)
        self.assertEqual(set(RULES) - allowed(admin, THEIRS), {"change_password", "create_application_credential"})

    def test_strangers(self) -> None:
        """Nobody else may do anything to what is not theirs; roles themselves are no secret."""
        for who in (
            access(),
            access("reader", project=True),
            access("manager", "member", "reader", project=True),
            access("manager", "member", "reader", domain=True),
        ):
            self.assertEqual(allowed(who, THEIRS), ANYBODY)

    def test_self(self) -> None:
        mine = allowed(access(), Target(user_id="me"))
        self.assertIn("change_password", mine)
        self.assertIn("create_ec2_credential", mine)
        self.assertNotIn("update_user", mine)
        closed = allowed(access(unrestricted=False), Target(user_id="me"))
        self.assertEqual(
            mine - closed,
            {
                f"{verb}_{kind}"
                for verb, kind in (
                    ("create", "application_credential"),
                    ("delete", "application_credential"),
                    ("create", "ec2_credential"),
                    ("get", "ec2_credential"),
                    ("list", "ec2_credentials"),
                    ("delete", "ec2_credential"),
                )
            },
        )

    def test_application_credentials_reach_no_keys(self) -> None:
        """A key has all of its user's roles, a credential perhaps not: it gets at none, unrestricted as it is."""
        mine = Target(user_id="me")
        lost = allowed(access(), mine) - allowed(access(credential="c"), mine)
        self.assertEqual(lost, {"create_ec2_credential", "get_ec2_credential", "list_ec2_credentials"})

    def test_project_scope_gives_no_power_over_the_domain(self) -> None:
        """A project's manager sees the project and its domain, and changes neither."""
        found = allowed(access("manager", "member", "reader", project=True), MINE) - allowed(access(), MINE)
        self.assertEqual(found, {"get_project", "get_domain"})

    def test_domain_manager(self) -> None:
        target = Target(domain_id="home")
        manager = allowed(access("manager", "member", "reader", domain=True), target)
        reader = allowed(access("reader", domain=True), target)
        self.assertLess(reader, manager)
        changes = {f"{verb}_{kind}" for verb in ("create", "update", "delete") for kind in ("project", "user")}
        self.assertEqual(manager - reader, changes | {"create_grant", "revoke_grant"})

    def test_unknown_is_not_equal(self) -> None:
        """No scope and no owner do not match each other."""
        self.assertEqual(allowed(access("manager", "reader"), Target()), ANYBODY)

    def test_enforce(self) -> None:
        error = self.assertRaises(Forbidden, enforce, access(), "create_domain", Target())
        self.assertEqual(error.action, "create_domain")
        self.assertIn("identity:create_domain", error.cause)

    def test_service_role(self) -> None:
        self.assertIn(Rule("service", Where.ANYWHERE), RULES["validate_token"])
