"""
Which modules a generation owns, and which belong to the kernel that lives as long as the process.

Names are matched as prefixes: ``"cloudd.database"`` means that module and everything below it.  The package above a
kernel package (``cloudd`` above ``cloudd.database``) is not kernel by that: it may be loaded plainly for the
kernel and once more in each generation.
"""

from __future__ import annotations

from attrs import field, frozen


def _check_names(_instance: object, attribute: object, names: tuple[str, ...]) -> None:
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name!r} is not a module name")


@frozen
class Boundaries:
    """
    The packages that are watched, and those among them that are never swapped.

    :param roots: top-level packages, for example ``("cloudd", "storage")``
    :param kernel: modules at or below ``roots`` that are loaded once and shared by all generations
    :raises ValueError: something is not a module name, or a kernel name lies outside the roots
    """

    roots: tuple[str, ...] = field(validator=_check_names)
    kernel: tuple[str, ...] = field(validator=_check_names)
    _kernel_names: frozenset[str] = field(init=False, repr=False, eq=False)
    _below_kernel: tuple[str, ...] = field(init=False, repr=False, eq=False)

    @_kernel_names.default
    def _names_of_kernel(self) -> frozenset[str]:
        return frozenset(self.kernel)

    @_below_kernel.default
    def _beginnings_below_kernel(self) -> tuple[str, ...]:
        return tuple(f"{name}." for name in self.kernel)

    def __attrs_post_init__(self) -> None:
        for name in self.roots:
            if "." in name:
                raise ValueError(f"the root {name!r} is not a top-level package")
        for name in self.kernel:
            if not self.owns(name):
                raise ValueError(f"the kernel module {name!r} is not below one of the roots {self.roots}")

    def owns(self, name: str) -> bool:
        """Whether ``name`` is one of the roots or lies below one; kernel modules are owned too."""
        return name.partition(".")[0] in self.roots

    def is_kernel(self, name: str) -> bool:
        """Whether ``name`` is never swapped."""
        return name in self._kernel_names or name.startswith(self._below_kernel)

    def is_swappable(self, name: str) -> bool:
        """Whether a generation loads ``name`` anew."""
        return self.owns(name) and not self.is_kernel(name)
