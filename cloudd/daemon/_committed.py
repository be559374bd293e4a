# -*- test-case-name: tests.daemon.test_committed -*-
"""
Which code this host decided for: ``STATE/code/committed.json``, and what it means at the next start.

The record is the point of no return of an upgrade: before it is synced everything goes back to the old code,
afterwards everything, also a worker or a daemon that starts later, goes to the new.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from attrs import frozen

from cloudd.control import BOUNDARIES
from reload import CodeTree, TreeError

from ._audit import sync_folder

RECORD_NAME = "committed.json"
FORMAT = 1


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """
    The code that was decided for.

    :param hash: what runs
    :param previous: what ran before, and what a rollback loads; empty: nothing
    :param generation: its number; numbers only grow
    :param started_from: what the tree that twistd was started from held when the daemon last started
    :param rolled_back: what the last rollback went away from; empty when the last change was none
    :param since: seconds since the epoch
    """

    hash: str
    generation: int
    started_from: str
    since: float
    previous: str = ""
    rolled_back: str = ""
    format: int = FORMAT


class RecordError(Exception):
    """The record is there but cannot be used; the text says why and what to do."""


@frozen
class Boot:
    """
    What to boot.

    :param tree: the staged copy of it
    :param committed: the record, already written
    :param cause: why this one, for the log
    """

    tree: CodeTree
    committed: Committed
    cause: str


def choose_boot_tree(code_folder: Path, start: CodeTree, now: float) -> Boot:
    """
    Decide which code a starting daemon boots, and write that down.  Blocks: call it before the reactor runs.

    The committed code is booted as long as the start tree holds what it held when that decision was made.  A start tree
    with other code wins: someone installed a new version and restarted.  The exception is code that was rolled
    back: a restart alone does not bring it in again, ``cloudctl upgrade`` does.

    :param code_folder: ``STATE/code``
    :param start: the tree twistd was started from, scanned
    :raises reload.TreeError: the start tree cannot be staged
    :raises RecordError: the record is damaged or of a later version of cloudd
    :raises OSError: the record cannot be written
    """
    staged = start.stage(code_folder)
    old = read_committed(code_folder)
    boot = _decide(code_folder, staged, old, now)
    if boot.committed != old:
        write_committed(code_folder, boot.committed)
    return boot


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

    :raises OSError: it is not, and the old one still counts
    """
    work = code_folder / f".{RECORD_NAME}.new"
    with open(work, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    work.replace(code_folder / RECORD_NAME)
    sync_folder(code_folder)


def _decide(code_folder: Path, start: CodeTree, old: Committed | None, now: float) -> Boot:
    if old is None:
        record = Committed(hash=start.hash, generation=1, started_from=start.hash, since=now)
        return Boot(start, record, "first start: the tree the daemon was started from")
    if start.hash == old.hash:
        record = msgspec.structs.replace(old, started_from=start.hash)
        return Boot(start, record, "the tree the daemon was started from is the committed code")
    if start.hash in {old.started_from, old.rolled_back}:
        try:
            return Boot(find_copy(code_folder, old.hash), old, "the code of the last upgrade")
        except TreeError as error:
            return _boot_start(start, old, now, f"the committed code cannot be used ({error}): the start tree instead")
    return _boot_start(start, old, now, "the tree the daemon was started from holds other code than at the last start")


def _boot_start(start: CodeTree, old: Committed, now: float, cause: str) -> Boot:
    record = Committed(
        hash=start.hash, previous=old.hash, generation=old.generation + 1, started_from=start.hash, since=now
    )
    return Boot(start, record, cause)
