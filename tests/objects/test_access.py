"""Who may do what: roles, projects and access lists."""

from __future__ import annotations

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from cloudd.objects import (
    Action,
    InvalidAccessList,
    allowed_by_list,
    allowed_by_role,
    clean_access_list,
    parse_access_list,
)
from storage import ContainerFacts

READS = {Action.READ_OBJECT, Action.LIST_OBJECTS, Action.READ_ACCOUNT}


@frozen
class Someone:
    """Who asks."""

    project_id: str | None = "p1"
    user_id: str = "u1"
    roles: tuple[str, ...] = ()

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles

    def has_role(self, name: str, /) -> bool:
        return name in self.roles


def box(read: str = "", write: str = "") -> ContainerFacts:
    """A container of project p1 with these lists."""
    lists = {"acl:read": read, "acl:write": write}
    return ContainerFacts(
        account="AUTH_p1",
        name="box",
        metadata={key: value for key, value in lists.items() if value},
        object_count=0,
        bytes_used=0,
        created_us=0,
        modified_us=0,
    )


def by_role(access: Someone | None, account: str = "AUTH_p1") -> set[Action]:
    """All that role and project allow."""
    return {action for action in Action if allowed_by_role(access, account, action)}


def by_list(access: Someone | None, container: ContainerFacts, referrer: str = "") -> set[Action]:
    """All that the lists allow."""
    return {action for action in Action if allowed_by_list(access, container, action, referrer)}


class RoleTests(SynchronousTestCase):
    """``allowed_by_role``."""

    def test_own_account(self) -> None:
        """A reader reads, a member and above writes; implied roles come with the token."""
        self.assertEqual(by_role(Someone(roles=("reader",))), READS)
        self.assertEqual(by_role(Someone(roles=("member", "reader"))), set(Action))
        self.assertEqual(by_role(Someone(roles=("manager", "member", "reader"))), set(Action))
        self.assertEqual(by_role(Someone(roles=("other",))), set())

    def test_foreign_account(self) -> None:
        """No role reaches into another project, but admin."""
        member = Someone(roles=("member", "reader"))
        for account in ("AUTH_p2", "AUTH_", "p1", "AUTH_p11", "auth_p1"):
            self.assertEqual(by_role(member, account), set(), account)
        self.assertEqual(by_role(Someone(roles=("admin",)), "AUTH_p2"), set(Action))

    def test_nobody(self) -> None:
        """Without a token, and without a project, no role counts."""
        self.assertEqual(by_role(None), set())
        self.assertEqual(by_role(Someone(project_id=None, roles=("member",))), set())
        self.assertEqual(by_role(Someone(project_id=None, roles=("member",)), "AUTH_None"), set())


class ListTests(SynchronousTestCase):
    """``allowed_by_list``."""

    def test_private(self) -> None:
        """Without lists nobody is let in."""
        self.assertEqual(by_list(None, box()), set())
        self.assertEqual(by_list(Someone(), box()), set())

    def test_readers(self) -> None:
        """A named user reads and lists, and no more."""
        for element in ("p1:u1", "p1:*", "*:u1", "*:*"):
            self.assertEqual(by_list(Someone(), box(read=element)), {Action.READ_OBJECT, Action.LIST_OBJECTS})
            self.assertEqual(by_list(None, box(read=element)), set(), element)
        for element in ("p2:u1", "p1:u2", "p2:*", "*:u2", "p1", "u1"):
            self.assertEqual(by_list(Someone(), box(read=element)), set(), element)

    def test_writers(self) -> None:
        """A named user writes objects, and neither reads nor changes the container."""
        self.assertEqual(by_list(Someone(), box(write="p9:u9,p1:u1")), {Action.WRITE_OBJECT})
        self.assertEqual(by_list(None, box(write="*:*")), set())

    def test_user_without_project(self) -> None:
        """An unscoped token matches only by ``*``."""
        self.assertEqual(by_list(Someone(project_id=None), box(write="*:u1")), {Action.WRITE_OBJECT})
        self.assertEqual(by_list(Someone(project_id=None), box(write="p1:u1")), set())

    def test_public(self) -> None:
        """``.r:*`` opens objects to everybody, ``.rlistings`` the listing too."""
        for asker in (None, Someone("p2", "u2")):
            self.assertEqual(by_list(asker, box(read=".r:*")), {Action.READ_OBJECT})
            self.assertEqual(by_list(asker, box(read=".r:*,.rlistings")), {Action.READ_OBJECT, Action.LIST_OBJECTS})
            self.assertEqual(by_list(asker, box(read=".rlistings")), set())

    def test_referrers(self) -> None:
        """Hosts, domains and exceptions; the last element that fits wins."""
        public = box(read=".r:example.com,.r:.example.org,.r:-bad.example.org")
        for referrer, allowed in (
            ("http://example.com/page", True),
            ("https://www.example.com/", False),
            ("http://a.example.org:8080/", True),
            ("http://bad.example.org/", False),
            ("http://EXAMPLE.com", True),
            ("example.com", False),
            ("http://[broken", False),
            ("", False),
        ):
            self.assertEqual(bool(by_list(None, public, referrer)), allowed, referrer)


class CleaningTests(SynchronousTestCase):
    """``clean_access_list``."""

    def test_one_form(self) -> None:
        """Blanks, aliases and empty elements go."""
        self.assertEqual(
            clean_access_list(" .referrer : *.Example.com , ,.ref:-a.b,p1 : u1,.rlistings,", writing=False),
            ".r:.example.com,.r:-a.b,p1:u1,.rlistings",
        )
        self.assertEqual(clean_access_list("", writing=True), "")
        self.assertEqual(clean_access_list("*:*,p:*", writing=True), "*:*,p:*")

    def test_refused(self) -> None:
        """What means nothing is refused by name."""
        for value in (".r:", ".r:.", ".r:-", ".x:y", ".unknown", "p1", "p1:", ":u1", "a:b:c", "x" * 9_000):
            self.assertRaises(InvalidAccessList, clean_access_list, value, writing=False)
        for value in (".r:*", ".rlistings"):
            error = self.assertRaises(InvalidAccessList, clean_access_list, value, writing=True)
            self.assertIn("reading", error.cause)

    def test_what_is_cleaned_is_read(self) -> None:
        """The reader understands every element that the cleaner lets through."""
        found = parse_access_list(clean_access_list(".r:*,.rlistings,p1:u1,*:u2", writing=False))
        self.assertEqual((found.referrers, found.listings), (("*",), True))
        self.assertEqual(found.users, {("p1", "u1"), ("*", "u2")})
