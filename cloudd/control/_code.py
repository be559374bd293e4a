"""Which code belongs to cloudd: the packages that are watched, the kernel among them, and a tree's manifest file."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from reload import Boundaries, CodeOrigin, CodeTree

from ._signature import SIGNATURE_NAME, sign_manifest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

BOUNDARIES = Boundaries(
    roots=("cloudd", "net", "reload", "storage"),
    kernel=(
        "reload",
        "cloudd.interfaces",
        "cloudd.daemon",
        "cloudd.database",
        "cloudd.hypervisor",
        "cloudd.messaging",
        "cloudd.protocols.amqp",
        "cloudd.protocols.bus",
        "cloudd.protocols.http",
        "cloudd.protocols.control",
        "cloudd.control",
        "cloudd.tls_front",
    ),
)

MANIFEST_NAME = "cloudd.manifest"


def manifest_places(root: Path) -> tuple[Path, Path]:
    """
    Where the manifest of a tree and its signature lie: in a folder beside the packages, of a wheel beside the file.

    :param root: ``CodeTree.root``
    """
    if root.is_file():
        return root.with_name(root.name + ".manifest"), root.with_name(root.name + ".manifest.sig")
    return root / MANIFEST_NAME, root / SIGNATURE_NAME


def write_manifest(tree: Path, key: Ed25519PrivateKey | None = None) -> CodeTree:
    """
    Scan a tree, a wheel or a virtual environment and write its manifest, where an upgrade looks for it.

    A signature that is there already is replaced, or, without ``key``, removed when it is of another manifest.

    :param key: signs the manifest
    :raises reload.TreeError: this is no tree of cloudd, or it holds what a tree must not hold
    :raises OSError: the manifest cannot be written
    """
    code = CodeOrigin.at(tree, BOUNDARIES).tree
    manifest, (place, signature_place) = code.manifest(), manifest_places(code.root)
    if key is None and not (place.is_file() and place.read_bytes() == manifest):
        signature_place.unlink(missing_ok=True)
    _replace(place, manifest)
    if key is not None:
        _replace(signature_place, sign_manifest(manifest, key))
    return code


def write_proof(folder: Path, manifest: bytes, signature: bytes) -> None:
    """
    Put a manifest and its signature, both checked, beside the packages of a copy.

    :raises OSError: they cannot be written
    """
    _replace(folder / MANIFEST_NAME, manifest)
    _replace(folder / SIGNATURE_NAME, signature)


def _replace(place: Path, content: bytes) -> None:
    """Write a file as a whole; what lay there, a symbolic link too, is replaced and not followed."""
    work = place.with_name(f".{place.name}.{secrets.token_hex(4)}.new")
    try:
        with open(os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        work.replace(place)
    finally:
        work.unlink(missing_ok=True)
