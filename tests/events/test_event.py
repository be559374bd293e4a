"""Events: who sees which, what is asked for, and how they look on the wire."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.events import TYPES, Position, UnknownType, View, check_types
from cloudd.events._event import control_event, encoded, framed, store_event, wants
from cloudd.identity import Access
from storage import Change, ChangeKind

from .logs import access, event


def seen(by: Access, *, everything: bool = False, **about: Any) -> set[str]:
    """The types of events of project p and user u that somebody may see."""
    view = View.of(by, everything=everything)
    project, user = about.get("project_id", "p"), about.get("user_id", "u")
    found = set()
    for kind in TYPES:
        in_store = kind.startswith(("object.", "container."))
        if view.shows(event(1, project, in_store=in_store, kind=kind, user_id=user)):
            found.add(kind)
    return found


def all_of(*things: str) -> set[str]:
    return {kind for kind in TYPES if kind.rpartition(".")[0] in things}


OBJECTS = all_of("object", "container")
OWN = all_of("identity.role_assignment", "identity.application_credential", "identity.ec2_credential")
OF_PROJECT = all_of("identity.project", "image") | {kind for kind in TYPES if kind.startswith("network.")}


class ViewTests(SynchronousTestCase):
    def test_member(self) -> None:
        """Objects and the project with its images and networks, and of users its own credentials and roles."""
        self.assertEqual(seen(access()), OBJECTS | OWN | OF_PROJECT)

    def test_other_users_of_the_project(self) -> None:
        """What the Identity API shows nobody but the user and administrators."""
        self.assertEqual(seen(access(), user_id="other"), OBJECTS | OF_PROJECT)

    def test_other_projects(self) -> None:
        """Nothing at all, whatever the user; nor of events that are of no project."""
        for project in ("q", None, ""):
            self.assertEqual(seen(access(), project_id=project), set())
            self.assertEqual(seen(access("q", "u", "admin")), set())

    def test_no_project(self) -> None:
        """A token without a project sees nothing of those without one."""
        for project in ("p", None, ""):
            self.assertEqual(seen(access(None), project_id=project), set())

    def test_reader(self) -> None:
        """A reader may list; a role of another name gives neither objects nor the project."""
        self.assertEqual(seen(access("p", "u", "reader")), OBJECTS | OWN | OF_PROJECT)
        self.assertEqual(seen(access("p", "u", "auditor")), OWN)

    def test_application_credential(self) -> None:
        """EC2 keys are shown in person only, and not to a restricted credential: as the API has it."""
        ec2 = all_of("identity.ec2_credential")
        self.assertEqual(seen(access(application_credential_id="a")) & OWN, OWN - ec2)
        self.assertEqual(seen(access(application_credential_id="a", unrestricted=False)) & OWN, OWN - ec2)

    def test_administrator(self) -> None:
        """Everything, if it is asked for; somebody else asks in vain."""
        self.assertEqual(seen(access("q", "x", "admin"), everything=True, project_id=None), set(TYPES))
        self.assertEqual(seen(access("q", "x", "admin"), everything=False, project_id=None), set())
        self.assertEqual(seen(access("q", "x"), everything=True), set())


class TypeTests(SynchronousTestCase):
    def test_prefixes(self) -> None:
        """Whole words between dots."""
        self.assertEqual(check_types(" object., identity.role,,object"), ("identity.role", "object"))
        self.assertTrue(wants(("identity.role",), "identity.role.created"))
        self.assertFalse(wants(("identity.role",), "identity.role_assignment.created"))
        self.assertTrue(wants((), "anything"))
        self.assertTrue(wants(("object.created",), "object.created"))

    def test_unknown(self) -> None:
        """What would never come is refused."""
        for text in ("objects", "object.created.x", "obj", "identity.token", "reset"):
            self.assertRaises(UnknownType, check_types, text)

    @given(st.sampled_from(TYPES))
    def test_every_type(self, kind: str) -> None:
        """Each can be asked for by each of its prefixes."""
        words = kind.split(".")
        for count in range(1, len(words) + 1):
            self.assertTrue(wants(check_types(".".join(words[:count])), kind))


class WireTests(SynchronousTestCase):
    @given(st.dictionaries(st.text(), st.text()))
    def test_data_is_one_line(self, facts: dict[str, str]) -> None:
        """Whatever names tenants give, a line break in them neither ends an event nor begins a field."""
        data = encoded("object.created", 0, "p", {"facts": facts})
        first, second, *rest = data.split(b"\n")
        self.assertEqual((first, rest), (b"event: object.created", [b"", b""]))
        self.assertNotIn(b"\r", data)
        self.assertEqual(json.loads(second.removeprefix(b"data: "))["facts"], facts)

    def test_object(self) -> None:
        """The facts of a change, its time in UTC, and the id of who has it now."""
        change = Change(7, 1_764_316_738_982_928, ChangeKind.OBJECT_CREATED, "AUTH_p", "böx", "x/y", 5, "etag")
        found = store_event(change)
        lines = framed(Position(3, 7), found).decode().split("\n")
        self.assertEqual(lines[:2], ["id: c3.o7", "event: object.created"])
        self.assertEqual(
            json.loads(lines[2].removeprefix("data: ")),
            {
                "time": "2025-11-28T07:58:58.982928Z",
                "type": "object.created",
                "project_id": "p",
                "account": "AUTH_p",
                "container": "böx",
                "name": "x/y",
                "size": 5,
                "etag": "etag",
            },
        )
        self.assertEqual(found.after(Position(3, 6)), Position(3, 7))

    def test_names_that_are_ours(self) -> None:
        """Facts do not replace the time, the type or the project."""
        text = encoded("upgrade.ended", 0, None, {"type": "object.created", "project_id": "p", "time": "x", "a": 1})
        data = json.loads(text.split(b"\n")[1].removeprefix(b"data: "))
        self.assertEqual((data["type"], data["project_id"], data["a"]), ("upgrade.ended", None, 1))
        self.assertTrue(data["time"].startswith("1970-01-01T00:00:00"))

    def test_account_of_no_project(self) -> None:
        """Such an event is for administrators only."""
        self.assertIsNone(store_event(Change(1, 0, ChangeKind.CONTAINER_DELETED, "other", "box")).project_id)

    def test_control(self) -> None:
        """A row of the outbox."""
        found = control_event(4, 5, "identity.project.created", "p", None, '{"id":"p"}')
        self.assertIn(b'"id":"p"', found.text)
        self.assertEqual(found.after(Position(3, 6)), Position(4, 6))
