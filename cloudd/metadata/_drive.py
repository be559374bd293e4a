# -*- test-case-name: tests.metadata.test_drive -*-
"""
The config drive: the same documents on a disc, for guests that have no network yet.

An ISO 9660 file with Rock Ridge and Joliet, labelled ``config-2``, as Nova makes it with genisoimage.  The trees differ
a little from the service's, also in Nova: Amazon's is one JSON file a version, ``openstack/content`` holds the files
that the server was created with, and ``meta_data.json`` has the administrator's password.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from pycdlib import PyCdlib

from . import _ec2, _openstack
from ._facts import GuestFacts, plain
from ._openstack import Entropy

LABEL: Final = "config-2"
FILE_NAME: Final = "config-drive.iso"
#: Older ones than this are on no config drive of Nova's either (``config_drive_skip_versions``).
EC2_VERSIONS: Final = ("2009-04-04", _ec2.LATEST)
CONTENT: Final = "content"
_PARTIAL: Final = ".config-drive-"
_READABLE: Final = 0o100444
_FOLDER: Final = 0o040555


def config_drive(facts: GuestFacts, folder: Path, admin_password: str = "", entropy: Entropy = os.urandom) -> Path:
    """
    Write a server's config drive.  Blocks.

    The file has its name when it is complete and on disk; one that is there is replaced.  A process that is killed
    meanwhile leaves a file ``.config-drive-*``, which the next call for the folder removes.

    :param folder: of this server alone; made if it is not there
    :param admin_password: told to the guest; empty: it is not.  The file is readable for its owner only
    :return: ``folder / "config-drive.iso"``
    :raises OSError: it cannot be written; the file is as it was
    """
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    for left in folder.glob(f"{_PARTIAL}*"):
        left.unlink(missing_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=folder)
    try:
        with open(descriptor, "wb") as opened:
            _write_iso(drive_files(facts, admin_password, entropy), opened)
            opened.flush()
            os.fsync(opened.fileno())
        file = folder / FILE_NAME
        Path(partial).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(partial).unlink(missing_ok=True)
        raise
    _sync_folder(folder)
    return file


def drive_files(facts: GuestFacts, admin_password: str, entropy: Entropy) -> dict[str, bytes]:
    """All files of a config drive: path -> content."""
    found: dict[str, bytes] = {}
    for version in EC2_VERSIONS:
        tree = _ec2.tree(facts, version)
        assert tree is not None
        if "user-data" in tree:
            found[f"ec2/{version}/user-data"] = tree["user-data"]
        found[f"ec2/{version}/meta-data.json"] = msgspec.json.encode(_without_names(tree["meta-data"]))
    extra, content = _files(facts)
    if admin_password:
        extra["admin_pass"] = admin_password
    versions = {**{each: each for each in _openstack.VERSIONS}, _openstack.LATEST: _openstack.VERSIONS[-1]}
    for named, version in versions.items():
        for name in _openstack.documents_of(facts, version):
            if name != _openstack.PASSWORD:
                found[f"openstack/{named}/{name}"] = _openstack.document(facts, version, name, entropy, extra)
    return found | {f"openstack/{path}": data for path, data in content.items()}


def _files(facts: GuestFacts) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What ``meta_data.json`` says of files, and the files: path below ``openstack`` -> content."""
    listed, content = [], {}
    for number, (path, encoded) in enumerate(facts.server.files):
        place = f"{CONTENT}/{number:04}"
        listed.append({"path": path, "content_path": f"/{place}"})
        content[place] = plain(encoded)
    return {"files": listed} if listed else {}, content


def _without_names(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    return {name: _without_names(value) for name, value in tree.items() if name != _ec2.NAME}


def _write_iso(files: Mapping[str, bytes], opened: BinaryIO) -> None:
    """Names as they are stand in Rock Ridge and Joliet; ISO 9660's own are short, and numbers here."""
    image = PyCdlib()
    image.new(interchange_level=3, vol_ident=LABEL, rock_ridge="1.09", joliet=3)
    short = {"": ""}
    try:
        for number, (path, data) in enumerate(files.items()):
            folder, _, name = path.rpartition("/")
            _add_folder(image, folder, short)
            image.add_fp(
                io.BytesIO(data),
                len(data),
                f"{short[folder]}/F{number}.;1",
                rr_name=name,
                joliet_path=f"/{path}",
                file_mode=_READABLE,
            )
        image.write_fp(opened)
    finally:
        image.close()


def _add_folder(image: PyCdlib, path: str, short: dict[str, str]) -> None:
    if path in short:
        return
    above, _, name = path.rpartition("/")
    _add_folder(image, above, short)
    short[path] = f"{short[above]}/D{len(short)}"
    image.add_directory(short[path], rr_name=name, joliet_path=f"/{path}", file_mode=_FOLDER)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
