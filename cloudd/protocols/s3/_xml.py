"""
XML documents of S3: reading with limits, writing with S3's escapes.

Reading refuses document type declarations, entities and foreign roots as ``MalformedXML``; names are compared without
their namespace, since clients send it or leave it out.  Writing keeps to plain text building: a listing of a thousand
rows is the hot path.  XML 1.0 cannot carry most control characters; S3 writes them as numeric references all the same,
and clients that care ask for ``encoding-type=url``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import Element, ParseError  # nosec: only types; parsing is defusedxml's

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from ._errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
CONTENT_TYPE = (b"content-type", b"application/xml")

_UNSAFE = re.compile('[&<>"\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> str:
    """``text`` as character data or attribute value; control characters as ``&#xN;`` like S3."""
    return _UNSAFE.sub(lambda found: _NAMED.get(found[0]) or f"&#x{ord(found[0]):X};", text)


def element(name: str, *children: str, text: str | int | None = None) -> str:
    """One element of ready-made children, or of text that is escaped here."""
    inside = "".join(children) if text is None else escape(str(text))
    return f"<{name}>{inside}</{name}>" if inside else f"<{name}/>"


def texts(pairs: Iterable[tuple[str, str | int | None]]) -> str:
    """An element for each pair whose text is not None."""
    return "".join(element(name, text=text) for name, text in pairs if text is not None)


def document(name: str, *children: str) -> bytes:
    """A whole document in S3's namespace."""
    return f'{DECLARATION}<{name} xmlns="{NAMESPACE}">{"".join(children)}</{name}>'.encode()


def error_document(error: S3Error, resource: str, request_id: str, host_id: str) -> bytes:
    """The body of a refusal; S3 gives it no namespace."""
    facts = {"Code": error.code, "Message": error.message, **error.facts}
    facts |= {"Resource": resource, "RequestId": request_id, "HostId": host_id}
    return f"{DECLARATION}<Error>{texts(facts.items())}</Error>".encode()


class Node:
    """A read element, reached by local names."""

    def __init__(self, found: Element) -> None:
        self._found = found

    @property
    def name(self) -> str:
        return str(self._found.tag).rpartition("}")[2]

    @property
    def text(self) -> str:
        """The character data as sent; white space counts, a key may end in it."""
        return self._found.text or ""

    def children(self, name: str | None = None) -> Iterator[Node]:
        for each in self._found:
            node = Node(each)
            if name is None or node.name == name:
                yield node

    def child(self, name: str) -> Node | None:
        return next(self.children(name), None)

    def value(self, name: str) -> str | None:
        """The text of the child ``name``, None without one."""
        found = self.child(name)
        return None if found is None else found.text


def parse(body: bytes, root: str) -> Node:
    """
    Read a document whose root element is ``root``.

    :raises S3Error: ``MalformedXML``
    """
    try:
        node = Node(ElementTree.fromstring(body, forbid_dtd=True))
    except DefusedXmlException as cause:
        raise S3Error("MalformedXML", "Document type declarations and entities are not accepted.") from cause
    except (ParseError, ValueError, LookupError) as cause:
        raise S3Error("MalformedXML", f"The XML that you provided was not well formed: {cause}") from cause
    if node.name != root:
        raise S3Error("MalformedXML", f"The document's root is {node.name}, expected was {root}.")
    return node
