"""
Conditional requests (RFC 9110, section 13), decided from an entity tag and a date.

Reads are decided here.  Writes hand ``precondition`` to the store, which tests it inside its transaction; dates,
which the store does not test, are judged before (``evaluate``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from attrs import frozen

from storage import Precondition

from ._dates import parse_http_date

_TAG = re.compile(r'\s*(?:(?P<weak>W/)?"(?P<tag>[^"]*)"|(?P<bare>[^",\s]+))\s*(?:,|$)')
_MICROSECONDS = 1_000_000


class Verdict(Enum):
    """What a condition makes of the request."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"  # 304
    FAILED = "failed"  # 412


@frozen
class EntityTag:
    """One entity tag of a header field, without quotes."""

    tag: str
    weak: bool = False


@frozen
class EntityTags:
    """A list of tags, or ``*`` (``anything``)."""

    tags: tuple[EntityTag, ...] = ()
    anything: bool = False

    def match_strongly(self, etag: str) -> bool:
        """Whether one of them is strong and the same (section 8.8.3.2)."""
        return self.anything or any(not tag.weak and tag.tag == etag for tag in self.tags)

    def match_weakly(self, etag: str) -> bool:
        """Whether one of them is the same, weak or not."""
        return self.anything or any(tag.tag == etag for tag in self.tags)


@frozen(kw_only=True)
class Conditions:
    """The conditions of one request; a date that is none was ignored."""

    if_match: EntityTags | None = None
    if_none_match: EntityTags | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None
    if_range: bytes | None = None

    @classmethod
    def from_headers(cls, header: Callable[[bytes], bytes | None]) -> Conditions:
        """
        Read the five fields.

        :param header: gives a field's value by its lower-case name, such as ``request.header``
        """
        return cls(
            if_match=parse_entity_tags(header(b"if-match")),
            if_none_match=parse_entity_tags(header(b"if-none-match")),
            if_modified_since=_date(header(b"if-modified-since")),
            if_unmodified_since=_date(header(b"if-unmodified-since")),
            if_range=header(b"if-range"),
        )

    def evaluate(self, etag: str | None, modified_us: int, *, reading: bool) -> Verdict:
        """
        Judge in the RFC's order (section 13.2.2).

        :param etag: of the present version, without quotes; None when there is none
        :param reading: whether the method is GET or HEAD; others never get NOT_MODIFIED
        """
        modified = modified_us // _MICROSECONDS
        if not self._unchanged(etag, modified):
            return Verdict.FAILED
        if self._wanted(etag, modified, reading):
            return Verdict.PROCEED
        return Verdict.NOT_MODIFIED if reading else Verdict.FAILED

    def range_applies(self, etag: str, modified_us: int) -> bool:
        """Whether ``Range`` counts (section 13.1.5): no ``If-Range``, or it names exactly this version."""
        if self.if_range is None:
            return True
        date = _date(self.if_range)
        if date is not None:
            return date == modified_us // _MICROSECONDS
        tags = parse_entity_tags(self.if_range)
        return tags is not None and not tags.anything and tags.match_strongly(etag)

    def precondition(self) -> Precondition | None:
        """The part that the store tests inside a write's transaction."""
        if self.if_match is None and self.if_none_match is None:
            return None
        wanted, unwanted = self.if_match or EntityTags(), self.if_none_match or EntityTags()
        return Precondition(
            if_absent=unwanted.anything,
            if_match=() if self.if_match is None else _strong(wanted),
            if_none_match=tuple(tag.tag for tag in unwanted.tags),
        )

    def _unchanged(self, etag: str | None, modified: int) -> bool:
        if self.if_match is not None:
            return etag is not None and self.if_match.match_strongly(etag)
        # Without a present version there is no date to compare, and the field is ignored (section 13.1.4).
        return self.if_unmodified_since is None or etag is None or modified <= self.if_unmodified_since

    def _wanted(self, etag: str | None, modified: int, reading: bool) -> bool:
        if self.if_none_match is not None:
            return etag is None or not self.if_none_match.match_weakly(etag)
        return not reading or self.if_modified_since is None or modified > self.if_modified_since


def parse_entity_tags(value: bytes | None) -> EntityTags | None:
    """
    A list of entity tags, or ``*``.  Tags without quotes are taken as well: many clients send them so.

    :return: None when the field is absent or empty
    """
    text = (value or b"").decode("utf-8", "replace").strip()
    if not text:
        return None
    if text == "*":
        return EntityTags(anything=True)
    return EntityTags(tuple(_tag(match) for match in _TAG.finditer(text)))


def _tag(match: re.Match[str]) -> EntityTag:
    bare = match["bare"]
    return EntityTag(match["tag"] if bare is None else bare, weak=match["weak"] is not None)


def _strong(tags: EntityTags) -> tuple[str, ...]:
    if tags.anything:
        return ("*",)
    # A field that names no strong tag matches nothing; NUL never is an etag.
    return tuple(tag.tag for tag in tags.tags if not tag.weak) or ("\0",)


def _date(value: bytes | None) -> int | None:
    return None if value is None else parse_http_date(value)
