# -*- test-case-name: tests.net.test_host -*-
"""
libnftables by its C interface: JSON in, JSON out.

Debian's binding is for Debian's own Python only; the interface is seven functions.  A context's socket is in the
network namespace of the thread that made it.  Source: ``nftables/libnftables.h``, libnftables-json(5).
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from ._errors import NetError
from ._ruleset import FAMILIES, Command, Ruleset, read

_LIBRARY: Final = "libnftables.so.1"
_JSON: Final = 1 << 4
"""``NFT_CTX_OUTPUT_JSON``."""

_NO_TABLE: Final = "No such file or directory"


@cache
def load() -> ctypes.CDLL:
    """
    :raises NetError: it is not there
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise NetError(f"{_LIBRARY} cannot be loaded: {error}", "Install the Debian package libnftables1") from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    for function in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, function).restype = ctypes.c_char_p
    for function in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
        getattr(library, function).argtypes = [ctypes.c_void_p]
    for function in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, function).argtypes = [ctypes.c_void_p]
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


def read_tables(table: str) -> Ruleset:
    """
    What is in the tables of this name, in this thread's network namespace.

    :raises NetError: nftables does not answer
    """
    listings = []
    for family in FAMILIES:
        command = {"list": {"table": {"family": family, "name": table}}}
        failure, output = _run([command])
        if not failure:
            listings.append(json.loads(output))
        elif _NO_TABLE not in failure:
            raise NetError(f"nftables does not list its tables: {failure}", "Run as root, and see whether nft works")
    return read(listings)


def carry_out(commands: Sequence[Command]) -> None:
    """
    Do all of it in one transaction.

    :raises NetError: nftables refuses; nothing was changed
    """
    failure, _ = _run(commands)
    if failure:
        raise NetError(f"nftables refuses the change: {failure}", "Nothing was changed by it; apply the plan again")


def _run(commands: Sequence[Command]) -> tuple[str, str]:
    """(what failed or empty, output)"""
    library = load()
    context = library.nft_ctx_new(0)
    if not context:
        raise NetError("libnftables gives no context", "See whether memory is left, and whether nft works")
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_output_set_flags(context, _JSON)
        failed = library.nft_run_cmd_from_buffer(context, json.dumps({"nftables": commands}).encode())
        output: Any = library.nft_ctx_get_output_buffer(context)
        failure: Any = library.nft_ctx_get_error_buffer(context)
        if not failed:
            return "", output.decode()
        return " ".join(failure.decode(errors="replace").split())[:500] or "no reason given", ""
    finally:
        library.nft_ctx_free(context)
