"""Copies of this checkout that have ``counted`` in them, and may be changed."""

from __future__ import annotations

from pathlib import Path

from bench.swap import copy_tree

_PLACES = (
    ("from cloudd.events import Events", "from cloudd.counted import Counted, Face\nfrom cloudd.events import Events"),
    ("*self.backups.task_kinds()", "*self.backups.task_kinds(), Counted(resources).kind()"),
    ('{b"/ui/": web, ', '{b"/ui/": web, b"/counted/": Face(resources, self.tasks), '),
)  # fmt: skip


def counted_tree(target: Path, change: int = 0) -> Path:
    """
    :param change: another number is other code: a swap
    """
    tree = copy_tree(target)
    application = tree / "cloudd" / "application.py"
    source = application.read_text()
    for text, other in _PLACES:
        assert source.count(text) == 1, f"{text!r} is not there once"
        source = source.replace(text, other)
    application.write_text(source)
    module = Path(__file__).with_name("counted.py").read_text()
    (tree / "cloudd" / "counted.py").write_text(f"{module}\n# change {change}\n")
    return tree
