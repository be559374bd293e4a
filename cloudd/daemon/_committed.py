# -*- test-case-name: tests.daemon.test_committed -*-
"""
Which code this host decided for: ``STATE/code/committed.json``, and what it means at the next start.

The record is the point of no return of an upgrade: before it is synced everything goes back to the old code,
afterwards everything, also a worker or a daemon that starts later, goes to the new.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from attrs import evolve, frozen
from twisted.logger import Logger

from cloudd.control import BOUNDARIES
from reload import CodeTree, TreeError

log = Logger()

RECORD_NAME = "committed.json"
FORMAT = 1
MAX_HELD_BACK = 16
MAX_CAUSE = 500
SHORT_HASH = 12
ROLLED_BACK = "was rolled back"


class HeldBack(msgspec.Struct, frozen=True, kw_only=True):
    """
    Code that a restart alone does not boot.

    :param cause: what became of it, for example ``failed in an upgrade (...)``
    :param since: seconds since the epoch
    """

    hash: str
    cause: str
    since: float


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """
    The code that was decided for.

    :param hash: what runs
    :param previous: what ran before, and what a rollback loads; empty: nothing
    :param generation: its number; numbers only grow
    :param started_from: what the tree that twistd was started from held when the daemon last started
    :param rolled_back: what the last rollback went away from; empty when the last change was none
    :param since: seconds since the epoch
    :param interpreter: path of the Python that runs it; empty: that of twistd
    :param previous_interpreter: the same of ``previous``
    :param held_back: the latest trees that were rolled back, or refused or failed in an upgrade
    """

    hash: str
    generation: int
    started_from: str
    since: float
    previous: str = ""
    rolled_back: str = ""
    interpreter: str = ""
    previous_interpreter: str = ""
    held_back: tuple[HeldBack, ...] = ()
    format: int = FORMAT


class RecordError(Exception):
    """The record is there but cannot be used; the text says why and what to do."""


@frozen
class Boot:
    """
    What to boot.

    :param tree: the staged copy of it
    :param committed: the record that says so; to be written when the code has proven itself
    :param cause: why this one, for the log
    :param written: the record on disk
    :param fallback: what to boot when this one fails; None: nothing, the start fails
    :param tried: hash of the start tree, where that is not what runs; empty when it cannot be told
    :param failure: why the start tree failed now; empty when it was not tried
    :param note: for the operator, where the start tree is not what runs: why, and what to do
    """

    tree: CodeTree
    committed: Committed
    cause: str
    written: Committed | None = None
    fallback: Boot | None = None
    tried: str = ""
    failure: str = ""
    note: str = ""

    @property
    def is_unproven(self) -> bool:
        """Nothing says yet that this code works: it has to check itself before it is written down."""
        return self.written is None or self.written.hash != self.committed.hash

    def behind_workers(self) -> Boot:
        """What to boot while workers of the committed code serve: that, since other code is not tried beside them."""
        fallback = self.fallback
        if fallback is None:
            return self
        note = (
            f"the start tree ({self.tree.hash[:SHORT_HASH]}) holds other code than what serves; "
            f"{_running(fallback.committed)}; `cloudctl upgrade` brings it in"
        )
        return evolve(fallback, tried=self.tree.hash, note=note)

    def fall_back(self, failure: str) -> Boot:
        """
        What to boot in the place of this tree, which has failed.

        :param failure: why, in words
        """
        fallback = self.fallback
        assert fallback is not None, "there is nothing to fall back to"
        return _instead(fallback, self.tree, failure)


def choose_boot_tree(code_folder: Path, scan_start: Callable[[], CodeTree], now: float) -> Boot:
    """
    Decide which code a starting daemon boots.  Blocks: call it before anything is served.

    The committed code is booted as long as the start tree holds what it held when that decision was made.  A start tree
    with other code is tried: someone installed a new version and restarted.  The exception is code that was rolled
    back or failed in an upgrade: a restart alone does not bring it in, ``cloudctl upgrade`` does.

    Nothing is written down: that is for when the code has proven itself, with ``write_committed``.

    :param code_folder: ``STATE/code``
    :param scan_start: gives the tree twistd was started from; may raise ``reload.TreeError``
    :raises reload.TreeError: the start tree cannot be used, and there is no committed code
    :raises RecordError: the record is damaged or of a later version of cloudd
    :raises OSError: the start tree cannot be copied, and there is no committed code
    """
    old = read_committed(code_folder)
    start: CodeTree | None = None
    try:
        start = scan_start()
        start = start.stage(code_folder)
    except (TreeError, OSError) as error:
        if old is None:
            raise
        committed = Boot(find_copy(code_folder, old.hash), old, "the committed code", old)
        return _instead(committed, start, str(error))
    return _decide(code_folder, start, old, now)


def boot_committed(code_folder: Path) -> Boot:
    """
    The committed code, whatever the start tree holds.  Blocks.

    :raises reload.TreeError: its copy is gone or damaged
    :raises RecordError: there is no record, or it is damaged
    """
    record = read_committed(code_folder)
    if record is None:
        raise RecordError(f"{code_folder / RECORD_NAME} is gone")
    return Boot(find_copy(code_folder, record.hash), record, "the committed code", record)


def find_copy(code_folder: Path, tree_hash: str) -> CodeTree:
    """
    A staged copy by its hash.

    :raises reload.TreeError: it is gone or damaged
    """
    tree = CodeTree.scan(code_folder / tree_hash, BOUNDARIES)
    if tree.hash != tree_hash:
        raise TreeError(tree.root, f"the copy is damaged: it holds {tree.hash[:12]}")
    return tree


def read_committed(code_folder: Path) -> Committed | None:
    """
    The record; None before the first start.

    :raises RecordError: it is damaged or of a later version of cloudd
    """
    path = code_folder / RECORD_NAME
    remedy = "move it away to boot the code that the daemon is started from"
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Committed)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise RecordError(f"{path} is damaged ({error}): {remedy}") from error
    if record.format != FORMAT:
        raise RecordError(f"{path} has format {record.format}, this version knows {FORMAT}: {remedy}")
    return record


def write_committed(code_folder: Path, record: Committed) -> None:
    """
    Replace the record; it is on disk afterwards.

    What can be read counts, for workers whose anchor dies in the next moment too.  So when the new record is there but
    cannot be synced, the old one is put back; where that fails as well the new one counts, and this returns.

    :raises OSError: it is not, and the old one still counts
    """
    path = code_folder / RECORD_NAME
    folder = os.open(code_folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        before = path.read_bytes() if path.exists() else None
        _replace(path, msgspec.json.format(msgspec.json.encode(record)) + b"\n")
        try:
            os.fsync(folder)
        except OSError as error:
            if _put_back(path, before):
                raise
            log.error("the folder of {path} cannot be synced: {error}; its new text counts", path=path, error=error)
    finally:
        os.close(folder)


def _replace(path: Path, text: bytes) -> None:
    work = path.with_name(f".{path.name}.new")
    try:
        with open(work, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        work.replace(path)
    except OSError:
        work.unlink(missing_ok=True)
        raise


def _put_back(path: Path, before: bytes | None) -> bool:
    """Whether the old record, or that there was none, is what can be read again."""
    try:
        if before is None:
            path.unlink()
        else:
            _replace(path, before)
    except OSError:
        return False
    return True


def hold_back(record: Committed, tree_hash: str, cause: str, now: float) -> Committed:
    """
    The record with code that a restart alone does not boot from now on; the running code is never held back.

    :param cause: what became of it, as the end of a sentence that begins with the tree
    """
    if tree_hash in {"", record.hash}:
        return record
    others = _without(record.held_back, tree_hash)[1 - MAX_HELD_BACK :]
    held = HeldBack(hash=tree_hash, cause=cause[:MAX_CAUSE], since=now)
    return msgspec.structs.replace(record, held_back=(*others, held))


def let_in(record: Committed, tree_hash: str) -> Committed:
    """The record without anything against that code."""
    return msgspec.structs.replace(record, held_back=_without(record.held_back, tree_hash))


def warnings_of(record: Committed, tree_hash: str) -> list[str]:
    """What somebody should know who loads that code: it was rolled back, or it was refused or failed before."""
    known = list(record.held_back)
    if record.rolled_back:  # noted in a record of an earlier version too
        known.append(HeldBack(hash=record.rolled_back, cause=ROLLED_BACK, since=record.since))
    held = next((held for held in known if held.hash == tree_hash), None)
    if held is None:
        return []
    if held.cause == ROLLED_BACK:
        return [f"this brings back the code that was rolled back at {_when(held.since)}"]
    return [f"this code {held.cause} at {_when(held.since)}"]


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _without(held_back: tuple[HeldBack, ...], tree_hash: str) -> tuple[HeldBack, ...]:
    return tuple(held for held in held_back if held.hash != tree_hash)


def _decide(code_folder: Path, start: CodeTree, old: Committed | None, now: float) -> Boot:
    if old is None:
        record = Committed(hash=start.hash, generation=1, started_from=start.hash, since=now)
        return Boot(start, record, "first start: the tree the daemon was started from")
    if start.hash == old.hash:
        record = msgspec.structs.replace(old, started_from=start.hash)
        return Boot(start, record, "the tree the daemon was started from is the committed code", old)
    try:
        committed = Boot(find_copy(code_folder, old.hash), old, "the code of the last upgrade", old)
    except TreeError as error:
        cause = f"the committed code cannot be used ({error}): the start tree instead"
        return _try_start(start, old, now, cause, None)
    held = next((held for held in old.held_back if held.hash == start.hash), None)
    if held is not None:
        return evolve(committed, tried=start.hash, note=_held_note(start, held, old))
    if start.hash in {old.started_from, old.rolled_back}:
        return committed
    cause = "the tree the daemon was started from holds other code than at the last start"
    return _try_start(start, old, now, cause, committed)


def _try_start(start: CodeTree, old: Committed, now: float, cause: str, fallback: Boot | None) -> Boot:
    record = msgspec.structs.replace(
        let_in(old, start.hash),
        hash=start.hash,
        previous=old.hash,
        generation=old.generation + 1,
        started_from=start.hash,
        rolled_back="",
        interpreter="",
        previous_interpreter=old.interpreter,
        since=now,
    )
    return Boot(start, record, cause, old, fallback)


def _instead(committed: Boot, start: CodeTree | None, failure: str) -> Boot:
    """The committed code, in the place of a start tree that failed."""
    named = start.hash[:SHORT_HASH] if start is not None else "unreadable"
    note = (
        f"the start tree ({named}) cannot be booted: {failure}; {_running(committed.committed)}; mend the tree, then "
        "run `cloudctl upgrade` or restart"
    )
    cause = "the committed code: the tree the daemon was started from failed"
    tried = start.hash if start is not None else ""
    return evolve(committed, cause=cause, tried=tried, failure=failure, note=note)


def _held_note(start: CodeTree, held: HeldBack, old: Committed) -> str:
    return (
        f"the start tree ({start.hash[:SHORT_HASH]}) is not booted: it {held.cause} at {_when(held.since)}; "
        f"{_running(old)}; a restart alone does not bring it in: `cloudctl upgrade` tries it again"
    )


def _running(record: Committed) -> str:
    return f"generation {record.generation} ({record.hash[:SHORT_HASH]}) runs instead"
