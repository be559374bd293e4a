"""Patterns that clients give."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from cloudd.compute import BadComputeValue
from cloudd.compute.servers._patterns import MAX_LENGTH, checked_pattern


class PatternTests(SynchronousTestCase):
    def test_good(self) -> None:
        """They are given back, and Python reads them."""
        for pattern in (
            "", "web", "^a.b$", "a|b", "[^a-z]+x", "a\\.b\\-c\\[", "[\\]x]", "\\d*", "\u00e4", "a,b", "^a+b?$", "\\.*",
            "x" * MAX_LENGTH,
        ):  # fmt: skip
            self.assertEqual(checked_pattern("name", pattern), pattern)
            re.compile(pattern)

    def test_plain(self) -> None:
        """What says nothing is left out."""
        for pattern, plain in (
            (".*web.*", "web"), ("^.*a.*b.*$", "a.*b"), (".*", ""), ("a|.*", "a|.*"),
            ("web (1)", "web 1"), ("\\(a[(]\\)", "\\(a[(]\\)"),
        ):  # fmt: skip
            self.assertEqual(checked_pattern("name", pattern), plain)

    def test_bad(self) -> None:
        """What nests, refers back, counts, or is no pattern at all."""
        for pattern in (
            "(a)+", "(a|b)", "(a", "((a)*)", "(?=a)",
            "a{2}", "\\1", "\\", "[", "[]", "]", "*", "^*", "a++", "a*?", "[z-a]", "\\b", "\\Z",
            "[[:x:]]", "[a--b]", "[&&]", "a*b*", "^a*b*c*", "^a*|b*", "[a]*\\d+x", "x" * (MAX_LENGTH + 1),
        ):  # fmt: skip
            with self.assertRaises(BadComputeValue, msg=pattern) as refused:
                checked_pattern("name", pattern)
            self.assertIn("name", refused.exception.cause)

    def test_hard(self) -> None:
        """The hardest that are left end at once on the longest name."""
        for pattern in ("a*b", "^a*a*b", "^.+.+b$", "|".join(["a*b"] + ["ab"] * 80)):
            self.assertIsNone(re.search(checked_pattern("name", pattern), "a" * 255))
