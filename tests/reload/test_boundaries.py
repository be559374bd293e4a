"""Boundaries: which names are owned, which are kernel."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reload import Boundaries


class BoundariesTests(SynchronousTestCase):
    boundaries = Boundaries(roots=("shop", "stock"), kernel=("shop.kernel", "stock"))

    def test_kernel_is_by_prefix_of_whole_names(self) -> None:
        """A kernel name covers itself and what is below it, not names that merely begin alike or lie above."""
        kernel = [
            name
            for name in ("shop.kernel", "shop.kernel.a.b", "shop.kernels", "shop", "stock", "stock.x", "other")
            if self.boundaries.is_kernel(name)
        ]
        self.assertEqual(kernel, ["shop.kernel", "shop.kernel.a.b", "stock", "stock.x"])

    def test_owned_and_swappable(self) -> None:
        """Roots and what is below are owned; swappable is what is owned and not kernel."""
        names = ("shop", "shop.sale", "shop.kernel", "stock", "shopping", "os")
        self.assertEqual(
            [name for name in names if self.boundaries.owns(name)], ["shop", "shop.sale", "shop.kernel", "stock"]
        )
        self.assertEqual([name for name in names if self.boundaries.is_swappable(name)], ["shop", "shop.sale"])

    def test_bad_names_are_refused(self) -> None:
        """A root with a dot, something that is no name, and a kernel outside of the roots are errors at once."""
        for roots, kernel in ((("a.b",), ()), (("a-b",), ()), (("a",), ("b.c",)), (("a",), ("a.",))):
            self.assertRaises(ValueError, Boundaries, roots=roots, kernel=kernel)
