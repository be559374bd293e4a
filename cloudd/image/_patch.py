# -*- test-case-name: tests.image.test_patch -*-
"""
JSON patches of an image (``application/openstack-images-v2.1-json-patch``): pure, from one image to the next.

A patch is a list of ``add``, ``replace`` and ``remove`` with a path of one step: a member of the image, or a property.
In ``…-v2.0-json-patch``, which was before and is still sent, a step names its path by its operation: ``{"add": "/a"}``.
Values are checked one by one, and what belongs together when all are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, evolve, field, frozen

from ._errors import BadImageValue, ImageConflict, ImageForbidden
from ._facts import (
    ACTIVE,
    AMAZON,
    CONTAINER_FORMATS,
    DEACTIVATED,
    DISK_FORMATS,
    MAX_NAME,
    MAX_PROPERTIES,
    MAX_TAGS,
    QUEUED,
    VISIBILITIES,
    Image,
)

OPERATIONS = ("add", "replace", "remove")
READ_ONLY = frozenset({
    "id", "created_at", "updated_at", "status", "checksum", "size", "virtual_size", "direct_url", "self", "file",
    "schema", "os_hash_algo", "os_hash_value", "stores",
})  # fmt: skip
RESERVED = frozenset({"location", "locations", "deleted", "deleted_at", "is_public"})
RESERVED_PREFIX = "os_glance"
REQUIRED = frozenset({"visibility", "protected", "tags", "owner", "min_disk", "min_ram", "os_hidden"})
FORMATS = ("disk_format", "container_format")
MAX_TEXT = 65_535
MAX_INTEGER = 2**31 - 1


@frozen
class Operation:
    """One step of a patch; ``value`` is nothing in a ``remove``."""

    op: str
    name: str
    value: Any = None


def read_operations(steps: Iterable[Mapping[str, Any]]) -> list[Operation]:
    """
    :raises BadImageValue: a step is none
    """
    return [_read(step) for step in steps]


def read_first_operations(steps: Iterable[Mapping[str, Any]]) -> list[Operation]:
    """
    Of the form that was first.

    :raises BadImageValue: a step is none
    """
    return [_read(_in_new_form(step)) for step in steps]


def _in_new_form(step: Mapping[str, Any]) -> dict[str, Any]:
    named = [op for op in OPERATIONS if op in step]
    if len(named) != 1:
        raise BadImageValue(f"A step names one operation with its path: {', '.join(OPERATIONS)}.")
    rest = {name: value for name, value in step.items() if name not in named}
    return {**rest, "op": named[0], "path": step[named[0]]}


def _read(step: Mapping[str, Any]) -> Operation:
    op, path = step.get("op"), step.get("path")
    if op not in OPERATIONS:
        raise BadImageValue(f"Operation must be one of {', '.join(OPERATIONS)}, not {str(op)[:40]!r}.")
    if not isinstance(path, str):
        raise BadImageValue("Unable to find '/path' in JSON Schema change")
    if op != "remove" and "value" not in step:
        raise BadImageValue(f"Operation '{op}' requires a member named 'value'.")
    return Operation(op, _name_in(path), step.get("value"))


def _name_in(path: str) -> str:
    if not path.startswith("/") or "/" in path[1:]:
        raise BadImageValue(f"Invalid JSON pointer for this resource: '{path[:80]}': one step below / is meant.")
    if "~" in path.replace("~0", "").replace("~1", ""):
        raise BadImageValue(f'Pointer `{path[:80]}` contains "~" not part of a recognized escape sequence.')
    name = path[1:].replace("~1", "/").replace("~0", "~")
    if not name or len(name) > MAX_NAME:
        raise BadImageValue(f"A name has 1 to {MAX_NAME} characters.")
    return name


def patched(image: Image, operations: Iterable[Operation]) -> Image:
    """
    The image after a patch.

    :raises BadImageValue: a value that it cannot have
    :raises ImageForbidden: a member that nobody sets, or not in this state
    :raises ImageConflict: something to be replaced or removed is not there
    """
    work = _Work(image)
    for operation in operations:
        work.do(operation)
    return checked(work.image)


@define
class _Work:
    image: Image
    _before: Image = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._before = self.image

    def do(self, operation: Operation) -> None:
        name = operation.name
        refuse_reserved(name)
        if name in MEMBERS:
            self._member(operation)
        else:
            self._property(operation)

    def _member(self, operation: Operation) -> None:
        name, value = operation.name, operation.value
        if operation.op == "remove":
            if name in REQUIRED:
                raise ImageForbidden(f"Property {name} may not be removed.")
            value = None
        if name in FORMATS and self._before.status != QUEUED and value != member_of(self.image, name):
            raise ImageForbidden(f"Attribute {name} can be only replaced for a queued image.")
        self.image = with_member(self.image, name, value)

    def _property(self, operation: Operation) -> None:
        name, properties = operation.name, dict(self.image.properties)
        if operation.op != "add" and name not in properties:
            raise ImageConflict(f"Property {name} does not exist.")
        if operation.op == "remove":
            del properties[name]
        else:
            properties[name] = property_value(name, operation.value)
        self.image = evolve(self.image, properties=properties)


def refuse_reserved(name: str) -> None:
    """
    :raises ImageForbidden: a member that clients do not set
    """
    if name in READ_ONLY:
        raise ImageForbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise ImageForbidden(f"Attribute '{name}' is reserved.")


def checked(image: Image) -> Image:
    """
    What belongs together does, and nothing is too much.

    :raises BadImageValue:
    """
    if len(image.properties) > MAX_PROPERTIES:
        raise BadImageValue(f"An image has at most {MAX_PROPERTIES} properties.")
    if len(image.tags) > MAX_TAGS:
        raise BadImageValue(f"An image has at most {MAX_TAGS} tags.")
    amazon = [value for value in (image.disk_format, image.container_format) if value in AMAZON]
    if amazon and image.disk_format and image.container_format and image.disk_format != image.container_format:
        raise BadImageValue(
            "Invalid mix of disk and container formats. When setting a disk or container format to one of "
            f"{', '.join(AMAZON)}, the container and disk formats must match."
        )
    return image


# ---- members of the image


def _text(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or len(value) > MAX_NAME):
        raise BadImageValue(f"{name}: expected null or a string of at most {MAX_NAME} characters.")
    return value


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadImageValue(f"{name}: expected true or false, got {str(value)[:40]!r}.")
    return value


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_INTEGER:
        raise BadImageValue(f"{name}: expected a whole number from 0 to {MAX_INTEGER}, got {str(value)[:40]!r}.")
    return value


def _one_of(words: tuple[str, ...], *, or_nothing: bool) -> Callable[[str, Any], str | None]:
    def check(name: str, value: Any) -> str | None:
        if (value is None and or_nothing) or value in words:
            return None if value is None else str(value)
        raise BadImageValue(f"{name}: expected one of {', '.join(words)}, got {str(value)[:40]!r}.")

    return check


def _owner(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64:
        raise BadImageValue(f"{name}: expected the id of a project.")
    return value


def tags_in(name: str, value: Any) -> tuple[str, ...]:
    """
    :raises BadImageValue: it is no list of tags
    """
    if not isinstance(value, list) or not all(isinstance(each, str) and 1 <= len(each) <= MAX_NAME for each in value):
        raise BadImageValue(f"{name}: expected a list of strings of 1 to {MAX_NAME} characters.")
    return tuple(sorted(set(value)))


#: Member of the API -> attribute of ``Image``, and how its value is read.
MEMBERS: Mapping[str, tuple[str, Callable[[str, Any], Any]]] = {
    "name": ("name", _text),
    "visibility": ("visibility", _one_of(VISIBILITIES, or_nothing=False)),
    "protected": ("protected", _truth),
    "os_hidden": ("hidden", _truth),
    "min_disk": ("min_disk", _count),
    "min_ram": ("min_ram", _count),
    "disk_format": ("disk_format", _one_of(DISK_FORMATS, or_nothing=True)),
    "container_format": ("container_format", _one_of(CONTAINER_FORMATS, or_nothing=True)),
    "owner": ("project_id", _owner),
    "tags": ("tags", tags_in),
}


def with_member(image: Image, name: str, value: Any) -> Image:
    """
    :raises BadImageValue: it cannot have that value
    """
    attribute, read = MEMBERS[name]
    return evolve(image, **{attribute: read(name, value)})


def member_of(image: Image, name: str) -> Any:
    """What it has there."""
    return getattr(image, MEMBERS[name][0])


def missing_formats(image: Image) -> str:
    """Which formats it needs before it has data; empty: none."""
    return ", ".join(name for name in FORMATS if member_of(image, name) is None)


def property_value(name: str, value: Any) -> str:
    """
    :raises BadImageValue: properties are strings
    """
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise BadImageValue(f"{name[:80]}: expected a string of at most {MAX_TEXT} characters.")
    return value


def may_be_downloaded(image: Image) -> bool:
    """Whether it has data."""
    return image.status in (ACTIVE, DEACTIVATED)
