"""The tables of ``docs/s3.md``, from the code; a test compares them with the page."""

from __future__ import annotations

from collections.abc import Iterator

from ._call import UNSUPPORTED_HEADERS
from ._errors import ERRORS
from ._operations import BUCKET_SUBRESOURCES, OBJECT_SUBRESOURCES, TABLE
from ._subresources import EMPTY, NOT_SET


def tables() -> str:
    """All tables as Markdown, each under its heading."""
    sections = {
        "Operations": _operations(),
        "Configurations that are never set": _not_set(),
        "Refused with 501 `NotImplemented`": _refused(),
        "Error codes": _errors(),
    }
    return "\n\n".join(f"### {heading}\n\n" + "\n".join(lines) for heading, lines in sections.items())


def _operations() -> Iterator[str]:
    yield "| Operation | Method | On | Sub-resource |\n|---|---|---|---|"
    rows = {
        (named.name, method, level, sub)
        for (level, method, sub), named in TABLE.items()
        if named.name not in ("PostObject", "GetBucketConfiguration", "DeleteBucketConfiguration")
    }
    for name, method, level, sub in sorted(rows):
        name_of_sub, _, copy = sub.partition(" ")
        if sub == "copy":
            name_of_sub, copy = "", sub
        shown = " ".join([f"`?{name_of_sub}`"] * bool(name_of_sub) + ["with `x-amz-copy-source`"] * bool(copy))
        yield f"| {name} | {method} | {level} | {shown} |"


def _not_set() -> Iterator[str]:
    yield "| Sub-resource of a bucket | GET | DELETE |\n|---|---|---|"
    for name in sorted(EMPTY):
        yield f"| `?{name}` | 200, `{EMPTY[name][0]}` | 501 |"
    for name in sorted(NOT_SET):
        yield f"| `?{name}` | {ERRORS[NOT_SET[name]][0]} `{NOT_SET[name]}` | 204 |"


def _refused() -> Iterator[str]:
    yield "| What | Where |\n|---|---|"
    for start, feature in UNSUPPORTED_HEADERS:
        yield f"| {feature} | header `{start}{'…' if start.endswith('-') else ''}` |"
    for level, known in (("bucket", BUCKET_SUBRESOURCES), ("object", OBJECT_SUBRESOURCES)):
        served = {sub.split(" ")[0] for each, _, sub in TABLE if each == level}
        for name in sorted(set(known) - served):
            yield f"| All calls | {level} `?{name}` |"
        settable = sorted(set(known) & {*EMPTY, *NOT_SET, "tagging", "retention", "legal-hold"} & served)
        yield f"| Setting a configuration | PUT on {level} {', '.join(f'`?{name}`' for name in settable)} |"
    yield "| Upload by an HTML form | POST on a bucket |"


def _errors() -> Iterator[str]:
    yield "| Code | Status |\n|---|---|"
    for code in sorted(ERRORS):
        yield f"| `{code}` | {ERRORS[code][0]} |"
