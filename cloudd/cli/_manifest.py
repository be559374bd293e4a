# -*- test-case-name: tests.cli.test_manifest -*-
"""``cloudctl manifest``: hashes of a code tree, their signature, and the key that makes it.  Needs no daemon."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cloudd.control import (
    SignatureError,
    TreeError,
    make_key,
    manifest_places,
    read_private_key,
    write_manifest,
)

from ._context import Context, Exit, fail
from ._tables import short


@click.command()
@click.argument("tree", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--sign",
    "key_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="KEYFILE",
    help="Sign the manifest with this private key (Ed25519, PEM), in a file beside it.",
)
@click.option(
    "--new-key",
    "new_key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Make a private key in a new file and print the public one, for [upgrade] public_key.",
)
@click.pass_obj
def manifest(context: Context, tree: Path | None, key_file: Path | None, new_key: Path | None) -> None:
    """
    Write the hashes of TREE's files into it, as cloudd.manifest.  Needs no daemon.

    TREE may be a wheel, whose manifest is written beside it, or a virtual environment.
    """
    if (tree is None) == (new_key is None) or (new_key is not None and key_file is not None):
        raise click.UsageError("give either TREE, with or without --sign, or --new-key FILE")
    try:
        if tree is not None:
            _write(context, tree, key_file)
        elif new_key is not None:
            _make_key(context, new_key)
    except (TreeError, SignatureError, OSError) as error:
        fail(context, Exit.REFUSED, str(error))


def _write(context: Context, tree: Path, key_file: Path | None) -> None:
    key = read_private_key(key_file) if key_file is not None else None
    code = write_manifest(tree, key)
    place, signature_place = manifest_places(code.root)
    signature = str(signature_place) if key is not None else ""
    if context.as_json:
        facts = {"manifest": str(place), "hash": code.hash, "files": len(code.files)}
        click.echo(json.dumps({**facts, "signature": signature}))
        return
    click.echo(f"{place}: {len(code.files)} files, tree {short(code.hash)}")
    if signature:
        click.echo(f"{signature}: signed with {key_file}")


def _make_key(context: Context, file: Path) -> None:
    public_key = make_key(file)
    if context.as_json:
        click.echo(json.dumps({"key": str(file), "public_key": public_key}))
        return
    click.echo(f"{file}: the private key; keep it where trees are signed, not on the hosts that load them")
    click.echo(f'[upgrade]\npublic_key = "{public_key}"')
