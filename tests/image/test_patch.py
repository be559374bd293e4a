"""JSON patches of an image: what they may change, and in which words the rest is refused."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from cloudd.image import BadImageValue, Image, ImageConflict, ImageError, ImageForbidden, read_operations
from cloudd.image._patch import patched

IMAGE = Image(id="i", project_id="p", name="n", properties={"os": "debian"}, tags=("a",))


def change(*steps: dict[str, Any], image: Image = IMAGE) -> Image:
    return patched(image, read_operations(steps))


def step(op: str, path: str, *value: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **({"value": value[0]} if value else {})}


class PatchTests(SynchronousTestCase):
    def refused(self, kind: type[ImageError], words: str, *steps: dict[str, Any], image: Image = IMAGE) -> None:
        with self.assertRaises(kind) as caught:
            change(*steps, image=image)
        self.assertIn(words, caught.exception.cause)

    def test_members(self) -> None:
        """Each by its own kind of value; the name can be taken away."""
        after = change(
            step("replace", "/name", "m"), step("replace", "/min_ram", 512), step("replace", "/protected", True),
            step("replace", "/tags", ["z", "y", "z"]), step("replace", "/visibility", "private"),
            step("add", "/disk_format", "qcow2"), step("replace", "/os_hidden", True),
        )  # fmt: skip
        self.assertEqual(
            (after.name, after.min_ram, after.protected, after.tags, after.visibility, after.disk_format, after.hidden),
            ("m", 512, True, ("y", "z"), "private", "qcow2", True),
        )
        self.assertIsNone(change(step("remove", "/name")).name)

    def test_properties(self) -> None:
        """Any name; with the escapes of JSON pointers."""
        after = change(step("add", "/x~1y~0", "1"), step("replace", "/os", "plan9"))
        self.assertEqual(after.properties, {"os": "plan9", "x/y~": "1"})
        self.assertEqual(change(step("remove", "/os")).properties, {})
        for op in ("replace", "remove"):
            self.refused(ImageConflict, "does not exist", step(op, "/none", "1"))

    def test_what_nobody_sets(self) -> None:
        self.refused(ImageForbidden, "read-only", step("replace", "/status", "active"))
        self.refused(ImageForbidden, "read-only", step("add", "/os_hash_value", "x"))
        self.refused(ImageForbidden, "reserved", step("add", "/locations", []))
        self.refused(ImageForbidden, "reserved", step("add", "/os_glance_x", "1"))
        self.refused(ImageForbidden, "may not be removed", step("remove", "/visibility"))

    def test_formats(self) -> None:
        """Before there is data."""
        active = evolve(IMAGE, status="active", disk_format="raw", container_format="bare")
        self.refused(ImageForbidden, "queued image", step("replace", "/disk_format", "qcow2"), image=active)
        self.assertEqual(change(step("replace", "/disk_format", "raw"), image=active), active)
        mixed = (step("add", "/disk_format", "aki"), step("add", "/container_format", "bare"))
        self.refused(BadImageValue, "must match", *mixed)
        self.assertEqual(
            change(step("add", "/disk_format", "aki"), step("add", "/container_format", "aki")).disk_format, "aki"
        )

    def test_bad_values(self) -> None:
        for path, value in (
            ("/name", 7), ("/name", "x" * 256), ("/min_disk", -1), ("/min_disk", "1"), ("/min_disk", True),
            ("/protected", "true"), ("/tags", "a"), ("/tags", [""]), ("/visibility", "mine"), ("/os", 7), ("/os", None),
            ("/disk_format", "floppy"), ("/owner", None), ("/min_ram", 2**31),
        ):  # fmt: skip
            self.refused(BadImageValue, path[1:], step("add", path, value))

    def test_bad_steps(self) -> None:
        steps: dict[str, dict[str, Any]] = {
            "Operation must be": {"op": "move", "path": "/a"},
            "requires a member named 'value'": {"op": "add", "path": "/a"},
            "Unable to find '/path'": {"op": "add", "value": 1},
            "Invalid JSON pointer": step("add", "a", "1"),
            "one step": step("add", "/a/b", "1"),
            "escape": step("add", "/a~2", "1"),
            "1 to 255": step("add", "/", "1"),
        }
        for words, bad in steps.items():
            self.refused(BadImageValue, words, bad)

    def test_too_much(self) -> None:
        many = [step("add", f"/p{number}", "x") for number in range(129)]
        self.refused(BadImageValue, "at most 128 properties", *many)
        self.refused(BadImageValue, "at most 128 tags", step("replace", "/tags", [str(n) for n in range(129)]))
