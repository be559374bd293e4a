# -*- test-case-name: tests.reload.test_snapshot -*-
"""
State that crosses from one version of the code to another: versioned envelopes of plain data.

A ``Snapshot`` has a kind, a version and fields.  Fields hold only ``None``, ``bool``, ``int``, ``float``, ``str``,
``bytes``, ``list`` and ``dict``, so that no class of one generation reaches another one.  ``Converters`` know the
steps between adjacent versions, up and down, and walk them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import msgspec
from attrs import field, frozen

FORMAT = "snapshot/1"
Fields = dict[str, Any]
Step = Callable[[Fields], Fields]

_SCALARS = (type(None), bool, int, float, str, bytes)


class SnapshotError(Exception):
    """Base of what can be wrong with a snapshot."""


class NotPlainData(SnapshotError):
    """A field holds what must not cross versions; ``where`` is the path to it, for example ``fields.a[2]``."""

    def __init__(self, where: str, cause: str) -> None:
        super().__init__(f"{where}: {cause}")
        self.where = where


class BadSnapshot(SnapshotError):
    """Bytes that are no snapshot, or of a format that this code does not read."""


class NoConverter(SnapshotError):
    """There is no way from the version that is there to the version that is wanted."""

    def __init__(self, kind: str, version: int, wanted: int, missing: int) -> None:
        following = missing + 1 if wanted > version else missing - 1
        super().__init__(
            f"{kind}: version {version} cannot become version {wanted}: there is no step from {missing} to {following}"
        )
        self.kind, self.version, self.wanted, self.missing = kind, version, wanted, missing


class ConversionFailed(SnapshotError):
    """A step raised, or gave something that is no plain data; the snapshot itself is as it was."""

    def __init__(self, kind: str, version: int, following: int, cause: str) -> None:
        super().__init__(f"{kind}: the step from version {version} to {following} failed: {cause}")
        self.kind, self.version, self.following = kind, version, following


def check_plain(value: Any, where: str) -> None:
    """
    :raises NotPlainData: ``value`` or something in it is no plain data, or would not come back equal
    """
    kind = type(value)
    if kind is list:
        for index, item in enumerate(value):
            check_plain(item, f"{where}[{index}]")
    elif kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise NotPlainData(where, f"the key {key!r} is {type(key).__name__}, not str")
            check_plain(key, f"{where}, key {key!r}")
            check_plain(item, f"{where}.{key}")
    elif kind not in _SCALARS:
        raise NotPlainData(where, f"{kind.__module__}.{kind.__qualname__} is no plain data")
    elif kind is int and not -(2**63) <= value < 2**64:
        raise NotPlainData(where, "the integer has more than 64 bits")
    elif kind is float and not math.isfinite(value):
        raise NotPlainData(where, f"{value} is not finite")
    elif kind is str and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotPlainData(where, "the text has lone surrogates") from None


def _check_kind(_instance: object, _attribute: object, kind: str) -> None:
    if type(kind) is not str or not kind:
        raise NotPlainData("kind", f"{kind!r} is no name")


def _check_version(_instance: object, _attribute: object, version: int) -> None:
    if type(version) is not int or version < 1:
        raise NotPlainData("version", f"{version!r} is no whole number from 1")


def _check_fields(_instance: object, _attribute: object, fields: Fields) -> None:
    if type(fields) is not dict:
        raise NotPlainData("fields", f"{type(fields).__name__} is no dict")
    try:
        check_plain(fields, "fields")
    except RecursionError:
        raise NotPlainData("fields", "the data is nested too deeply, or in itself") from None


@frozen
class Snapshot:
    """
    State of one thing at one moment.

    :param kind: what it is of, for example ``http-connection``
    :param version: version of the fields' meaning, from 1
    :param fields: plain data
    :raises NotPlainData: something else
    """

    kind: str = field(validator=_check_kind)
    version: int = field(validator=_check_version)
    fields: Fields = field(validator=_check_fields)

    def pack(self) -> bytes:
        """The snapshot as bytes (msgpack: format, kind, version, fields)."""
        return msgspec.msgpack.encode([FORMAT, self.kind, self.version, self.fields])

    @classmethod
    def unpack(cls, data: bytes) -> Snapshot:
        """
        The snapshot that ``pack`` wrote.

        :raises BadSnapshot: these bytes are none, or of another format
        """
        try:
            parts = msgspec.msgpack.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadSnapshot(f"{len(data)} bytes are no snapshot: {error}") from None
        if not isinstance(parts, list) or not parts or parts[0] != FORMAT:
            raise BadSnapshot(f"{len(data)} bytes are no snapshot of format {FORMAT}")
        try:
            _format, kind, version, fields = parts
            return cls(kind, version, fields)
        except (ValueError, NotPlainData) as error:
            raise BadSnapshot(f"{len(data)} bytes are a broken snapshot: {error}") from None


class Converters:
    """
    The known steps between adjacent versions of each kind.

    >>> converters = Converters()
    >>> converters.add("counter", 1, up=lambda old: {"count": old["n"]}, down=lambda new: {"n": new["count"]})
    >>> converters.convert(Snapshot("counter", 1, {"n": 5}), 2).fields
    {'count': 5}
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int, int], Step] = {}

    def add(self, kind: str, version: int, *, up: Step | None = None, down: Step | None = None) -> None:
        """
        Make the steps between ``version`` and ``version + 1`` known.

        :param up: gets the fields of ``version`` (a copy of its own), returns those of the next
        :param down: the way back
        :raises ValueError: there is one already, or both are missing
        """
        if up is None and down is None:
            raise ValueError(f"{kind} {version}: neither a step up nor a step down")
        for step, begin, end in ((up, version, version + 1), (down, version + 1, version)):
            if step is not None:
                if (kind, begin, end) in self._steps:
                    raise ValueError(f"{kind}: there is already a step from {begin} to {end}")
                self._steps[kind, begin, end] = step

    @classmethod
    def merged(cls, several: Iterable[Converters]) -> Converters:
        """The steps of all of them; where two know the same one, that of the first."""
        found = cls()
        for one in several:
            found._steps = {**one._steps, **found._steps}
        return found

    def reachable(self, kind: str, version: int) -> tuple[int, ...]:
        """The versions that ``version`` can become, itself included, in order."""
        return self._walk(version, lambda at, following: (kind, at, following) in self._steps)

    def readable(self, kind: str, version: int) -> tuple[int, ...]:
        """The versions that can become ``version``, itself included, in order."""
        return self._walk(version, lambda at, following: (kind, following, at) in self._steps)

    @staticmethod
    def _walk(version: int, leads: Callable[[int, int], bool]) -> tuple[int, ...]:
        lowest = highest = version
        while leads(lowest, lowest - 1):
            lowest -= 1
        while leads(highest, highest + 1):
            highest += 1
        return tuple(range(lowest, highest + 1))

    def convert(self, snapshot: Snapshot, version: int) -> Snapshot:
        """
        The snapshot in another version; the given one is not changed.

        :raises NoConverter: a step is missing
        :raises ConversionFailed: a step raised or gave something else than plain data
        """
        direction = 1 if version > snapshot.version else -1
        current = snapshot
        while current.version != version:
            following = current.version + direction
            step = self._steps.get((snapshot.kind, current.version, following))
            if step is None:
                raise NoConverter(snapshot.kind, snapshot.version, version, current.version)
            try:
                current = Snapshot(current.kind, following, step(deepcopy(current.fields)))
            except Exception as error:
                cause = f"{type(error).__name__}: {error}"
                raise ConversionFailed(current.kind, current.version, following, cause) from error
        return current

    def read(self, data: bytes, kind: str, version: int) -> Snapshot:
        """
        Unpack bytes of a known kind and bring them to a version.

        :raises BadSnapshot: no snapshot, or one of another kind
        :raises SnapshotError: as ``convert``
        """
        snapshot = Snapshot.unpack(data)
        if snapshot.kind != kind:
            raise BadSnapshot(f"a snapshot of {snapshot.kind!r} came where one of {kind!r} is wanted")
        return self.convert(snapshot, version)
