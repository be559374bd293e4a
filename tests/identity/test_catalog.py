"""The catalog, and times and limits of values."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cloudd.identity import BadValue, _checks
from cloudd.identity._catalog import catalog

URLS = {"api": "http://a:5000", "object": "http://o:8080", "s3": "http://s:9000"}


class CatalogTests(SynchronousTestCase):
    def test_services(self) -> None:
        found = catalog(URLS, "R", "p1")
        urls = {service["type"]: {one["url"] for one in service["endpoints"]} for service in found}
        self.assertEqual(
            urls,
            {
                "identity": {"http://a:5000/identity"},
                "compute": {"http://a:5000/compute/v2.1"},
                "image": {"http://a:5000/image"},
                "network": {"http://a:5000/network"},
                "object-store": {"http://o:8080/v1/AUTH_p1"},
                "s3": {"http://s:9000"},
            },
        )
        for service in found:
            self.assertEqual([one["interface"] for one in service["endpoints"]], ["public", "internal", "admin"])
            for one in service["endpoints"]:
                self.assertEqual(set(one), {"id", "interface", "region", "region_id", "url"})
                self.assertEqual((one["region"], one["region_id"]), ("R", "R"))

    def test_ids_are_stable(self) -> None:
        """They depend on nothing but type, interface and region."""
        ids = [service["id"] for service in catalog(URLS, "R", "p1")]
        moved = {face: url + "0" for face, url in URLS.items()}
        self.assertEqual([service["id"] for service in catalog(moved, "R", "p2")], ids)
        endpoints = [one["id"] for service in catalog(URLS, "R", "p1") for one in service["endpoints"]]
        self.assertEqual(len(set(endpoints + ids)), 24)

    def test_only_what_is_there(self) -> None:
        """Faces that are off and URLs that need a project are left out."""
        found = catalog({"api": "http://a", "s3": ""}, "R", "p")
        self.assertEqual([one["type"] for one in found], ["identity", "compute", "image", "network"])
        unscoped = [one["type"] for one in catalog(URLS, "R", None)]
        self.assertEqual(unscoped, ["identity", "compute", "image", "network", "s3"])


class ValueTests(SynchronousTestCase):
    def test_moments(self) -> None:
        """ISO 8601 with and without a zone; UTC is meant without one."""
        second = 1_000_000
        cases = {
            "1970-01-01T00:00:01": second,
            "1970-01-01T00:00:01.500000": second * 3 // 2,
            "1970-01-01T00:00:01Z": second,
            "1970-01-01T01:00:01+01:00": second,
        }
        for text, moment in cases.items():
            self.assertEqual(_checks.moment("x", text), moment)
        for wrong in ("", "soon", "2026-13-01T00:00:00", 7, None):
            self.assertRaises(BadValue, _checks.moment, "x", wrong)

    def test_limit(self) -> None:
        self.assertEqual([_checks.limit(value) for value in (None, 1, 10_000)], [1000, 1, 1000])

    def test_not_an_object(self) -> None:
        fields = _checks.Fields("thing", {"name": _checks.name()}, required=("name",))
        values: Any
        for values in ([], "name", None, 7):
            error = self.assertRaises(BadValue, fields.for_create, values)
            self.assertEqual(error.field, "thing")
