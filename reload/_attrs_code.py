# -*- test-case-name: tests.reload.test_attrs_code -*-
"""
What attrs writes for a class is compiled once, for all generations.

attrs writes the methods of each class as source text and compiles that, when the class is made: half of the processor
time that the import of a generation takes, with the interpreter held, while clients wait.  The text of one class is the
same in each generation but for two things, which tell the generation: the file name that tracebacks show, and a number
in ``__hash__`` made of it.  Without them, one code object does for all; the functions made of it, and their globals,
remain each generation's own.

Only classes of generations are compiled so, all others as ever.  An attrs release that compiles in another way is
served as well as without this, only slower.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import CodeType
from typing import Any

import attr._make as attrs_make

MAX_KEPT = 2048
"""Classes whose code is kept: several trees' worth.  A code object takes some 5 kB."""

_FILE_NAME = re.compile(r"(<attrs generated .+ )_g\d+\.(.+>)")
_HASH_OF_NAME = re.compile(r"(?<=hash\(\(\n)(\s+)-?\d+(?=,)")


def keep_compiled() -> None:
    """Have attrs compile by way of this module from now on.  Safe to call again."""
    vars(attrs_make)["compile"] = _compile


def _compile(source: Any, filename: Any, mode: str, *more: Any, **options: Any) -> Any:
    """As ``compile``, which attrs finds under this name among its globals."""
    name = _FILE_NAME.fullmatch(filename) if isinstance(filename, str) else None
    if name is None or not isinstance(source, str) or more or options:
        return compile(source, filename, mode, *more, **options)
    public = "".join(name.groups())
    return _compile_once(_HASH_OF_NAME.sub(rf"\g<1>{hash(public)}", source), public, mode)


@lru_cache(MAX_KEPT)
def _compile_once(source: str, filename: str, mode: str) -> CodeType:
    code: CodeType = compile(source, filename, mode, dont_inherit=True)
    return code
