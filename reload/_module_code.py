# -*- test-case-name: tests.reload.test_module_code -*-
"""
The code of modules, read once for all generations that have the same file.

To read it is half the work of a load, and no thread gets the interpreter meanwhile.  Code does not change: what differs
between two generations is in their modules, classes and functions.  Code that others have read tells their path in
tracebacks; when that copy of the tree may go, ``linecache`` gets the lines from one that stays.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from functools import partial
from types import CodeType

from ._tree import CodeTree, TreeError, read_regular

_open: list[ModuleCode] = []
"""Of all living generations, the oldest first.  A copy is read: another thread may change it."""


class ModuleCode:
    """
    The code of one generation's modules, to be closed with it.

    :param tree: whose files are what its hashes say
    """

    def __init__(self, tree: CodeTree) -> None:
        self._tree = tree
        self._code: dict[str, CodeType] = {}  # by file of the tree
        _open.append(self)

    def of(self, path: str, read: Callable[[], CodeType | None]) -> CodeType | None:
        """
        The code of a file.

        :param path: absolute, below the root of the tree
        :param read: gives it where no other generation has it
        """
        name = path.removeprefix(f"{self._tree.root}/")
        digest = self._tree.files.get(name)
        known = (other.known(name, digest) for other in list(_open))
        code = next((code for code in known if code is not None), None) or read()
        if code is not None:
            self._code[name] = code
        return code

    def known(self, name: str, digest: str | None) -> CodeType | None:
        """The code of a file, if it was read and the file has this SHA-256."""
        return self._code.get(name) if digest is not None and self._tree.files.get(name) == digest else None

    def close(self) -> None:
        """Let go of all.  What tracebacks of other generations show of it stays to be had."""
        _open.remove(self)
        for name, code in self._code.items():
            digest = self._tree.files.get(name, "")
            if any(other.known(name, digest) is code for other in list(_open)):
                linecache.cache[code.co_filename] = (partial(_source, name, digest),)
            else:
                linecache.cache.pop(code.co_filename, None)
        self._code.clear()

    def source(self, name: str, digest: str) -> str | None:
        """The text of a file, if it has this SHA-256 and can be read."""
        if self._tree.files.get(name) != digest:
            return None
        try:
            return read_regular(self._tree.root / name).decode()
        except (TreeError, UnicodeDecodeError):
            return None


def _source(name: str, digest: str) -> str | None:
    """The text of a file whose code several generations share, from the newest of them."""
    texts = (living.source(name, digest) for living in reversed(list(_open)))
    return next((text for text in texts if text is not None), None)
