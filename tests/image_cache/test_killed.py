"""Kill -9 at each step of a fetch: a file is there whole or not at all, and nothing else stays."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from cloudd.image_cache._copying import Copy
from cloudd.image_cache._folder import clear_partial, entries, want
from tests.image_cache.test_copying import GOOD, image_of

#: What a fetch asks of the kernel, in whatever order and however often.
CALLS: Final = ("open", "pread", "pwrite", "ftruncate", "fchmod", "fsync", "close")


class KilledTests(SynchronousTestCase):
    def test_each_step(self) -> None:
        """Before each call to the kernel in turn, until one fetch comes to its end."""
        folder, source = Path(self.mktemp()), Path(self.mktemp())
        folder.mkdir()
        source.write_bytes(GOOD)
        file = folder / f"{'a' * 32}.raw"
        step = found = 0
        while not in_child(fetch, source, file, step):
            self.assertLess(step, 100)
            left = clear_partial(folder)
            whole = [each.path for each in entries(folder)]
            self.assertEqual(set(os.listdir(folder)) - {".lock"}, {each.name for each in whole})
            for each in whole:
                self.assertEqual(each.read_bytes(), GOOD)
                each.unlink()
            found += left + len(whole)
            step += 1
        self.assertTrue(want(file, len(GOOD), 0.0))
        self.assertGreater(step, 15)
        self.assertGreater(found, 10)


def fetch(source: Path, file: Path, step: int) -> None:
    """One whole fetch, in a process that is killed before its call number ``step``."""
    count = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return call(*args, **kwargs)

        return counting

    copy = Copy(image_of(GOOD), file)
    descriptor = os.open(source, os.O_RDONLY)
    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    copy.begin()
    copy.take(descriptor, 0, len(GOOD))
    copy.keep()


def in_child(work: Callable[..., None], *args: object) -> bool:
    """Whether it came to its end in a process of its own."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        work(*args)
        os._exit(0)
    finally:
        os._exit(1)
