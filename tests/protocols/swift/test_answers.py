"""Standard pages and refusals."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.swift._answers import bad_request, not_served, page


class PageTests(SynchronousTestCase):
    def test_swifts_words(self) -> None:
        """The page of Swift's own library, to the letter."""
        self.assertEqual(page(404), b"<html><h1>Not Found</h1><p>The resource could not be found.</p></html>")
        self.assertEqual(page(201), b"")

    def test_cause(self) -> None:
        """A cause stands in a paragraph of its own, and what a client sent cannot become markup."""
        self.assertEqual(
            page(403, "No <script> & co."),
            b"<html><h1>Forbidden</h1><p>Access was denied to this resource.</p>"
            b"<p>No &lt;script&gt; &amp; co.</p></html>",
        )

    def test_kinds(self) -> None:
        """Refusals say what to do next."""
        self.assertEqual((bad_request("x").status, bad_request("x").plain), (400, True))
        self.assertEqual(not_served("Expiry").status, 501)
        self.assertIn("/info", not_served("Expiry").cause)
