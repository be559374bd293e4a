"""Which code belongs to cloudd: the packages that are watched, the kernel among them, and a tree's manifest file."""

from __future__ import annotations

from pathlib import Path

from reload import Boundaries, CodeTree

BOUNDARIES = Boundaries(
    roots=("cloudd", "reload", "storage"),
    kernel=(
        "reload",
        "cloudd.interfaces",
        "cloudd.daemon",
        "cloudd.database",
        "cloudd.protocols.http",
        "cloudd.protocols.control",
        "cloudd.control",
    ),
)

MANIFEST_NAME = "cloudd.manifest"


def write_manifest(tree: Path) -> CodeTree:
    """
    Scan a tree and write its manifest beside its packages, where an upgrade looks for it.

    :raises reload.TreeError: this is no tree of cloudd, or it holds what a tree must not hold
    :raises OSError: the manifest cannot be written
    """
    code = CodeTree.scan(tree, BOUNDARIES)
    work = code.root / f".{MANIFEST_NAME}.new"
    work.write_bytes(code.manifest())
    work.replace(code.root / MANIFEST_NAME)
    return code
