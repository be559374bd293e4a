# -*- test-case-name: tests.daemon.test_manifests -*-
"""
What vouches for a code tree: its manifest of hashes and, with ``[upgrade] public_key``, the signature of that.

Both are read once, and what was checked is what is loaded: a tree that passes here has exactly the hashes of the
manifest whose bytes were signed, staging copies nothing of other hashes, and a signed tree's copy is read again and
compared before any worker hears of it.  The proof is kept in the copy, for the way back.  All calls block.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from attrs import frozen

from cloudd.control import (
    BOUNDARIES,
    SignatureError,
    manifest_places,
    verify_signature,
    write_proof,
)
from cloudd.interfaces.settings import UpgradeSettings
from reload import CodeTree, TreeError

MAX_MANIFEST_BYTES = 16_777_216
MAX_SIGNATURE_BYTES = 1_024


class NotVouchedFor(TreeError):
    """A tree has not the manifest or the signature that the settings ask for; nothing of it was loaded."""

    def __init__(self, path: Path | str, cause: str, tree_hash: str) -> None:
        super().__init__(path, cause)
        self.tree_hash = tree_hash


@frozen
class Proof:
    """
    What was found beside a tree.

    :param words: ``fits, signed``, ``fits``, ``absent``, or what is wrong with a manifest that need not be there
    :param signature: empty when no key is set
    """

    words: str
    manifest: bytes = b""
    signature: bytes = b""


def check_manifest(tree: CodeTree, settings: UpgradeSettings) -> Proof:
    """
    Compare a tree with the manifest in it, and that with its signature, as far as the settings ask for it.

    :raises NotVouchedFor: something that the settings require is absent or does not fit
    """
    try:
        return _check(tree, settings)
    except TreeError as error:
        raise NotVouchedFor(error.path, error.cause, tree.hash) from error


def check_copy(tree: CodeTree, settings: UpgradeSettings) -> Proof:
    """
    Ask of a copy, before it is loaded once more, what would be asked of a tree now.

    :raises NotVouchedFor: a key is set, and the copy was made when none was, or another one
    """
    return check_manifest(tree, settings) if settings.public_key else Proof("")


def stage_proved(tree: CodeTree, folder: Path, proof: Proof) -> CodeTree:
    """
    Copy a tree to ``folder``; of a signed one make sure that the copy is what was signed, and keep the proof in it.

    :raises reload.TreeError: the tree changed meanwhile, or the copy holds something else
    :raises OSError: the disk does not take it
    """
    staged = tree.stage(folder)
    if proof.signature:
        CodeTree.scan(staged.root, BOUNDARIES).verify_manifest(proof.manifest)
        write_proof(staged.root, proof.manifest, proof.signature)
    return staged


def _check(tree: CodeTree, settings: UpgradeSettings) -> Proof:
    manifest, signature = _read_manifest(tree, settings), b""
    if manifest is None:
        return Proof("absent")
    if settings.public_key:
        signature = _read_signature(tree, manifest, settings.public_key)
    try:
        tree.verify_manifest(manifest)
    except TreeError as error:
        if settings.require_manifest or settings.public_key:
            raise
        return Proof(error.cause)
    return Proof("fits, signed" if signature else "fits", manifest, signature)


def _read_manifest(tree: CodeTree, settings: UpgradeSettings) -> bytes | None:
    """Its bytes; None: there is none, and none is needed."""
    path, _ = manifest_places(tree.root)
    try:
        return _read(path, MAX_MANIFEST_BYTES)
    except OSError as error:
        if settings.public_key:
            raise TreeError(path, f"there is no signed manifest: {_remedy(error)}") from error
        if settings.require_manifest:
            remedy = "write it with `cloudctl manifest`, or set [upgrade] require_manifest = false"
            raise TreeError(path, f"the manifest that the settings require cannot be read: {remedy}") from error
        return None


def _read_signature(tree: CodeTree, manifest: bytes, public_key: str) -> bytes:
    """Read and verify it, before anything in the manifest is looked at."""
    _, path = manifest_places(tree.root)
    try:
        signature = _read(path, MAX_SIGNATURE_BYTES)
        verify_signature(manifest, signature, public_key)
    except OSError as error:
        raise TreeError(path, f"the manifest is not signed: {_remedy(error)}") from error
    except SignatureError as error:
        raise TreeError(path, f"the signature {error}") from error
    return signature


def _remedy(error: OSError) -> str:
    return f"{error.strerror}; [upgrade] public_key asks for one: `cloudctl manifest TREE --sign KEYFILE`"


def _read(path: Path, most_bytes: int) -> bytes:
    """A whole regular file; neither a link is followed nor a pipe waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(0, "it is no regular file")
        if facts.st_size > most_bytes:
            raise OSError(0, f"it has more than {most_bytes} bytes")
        return file.read(most_bytes + 1)
