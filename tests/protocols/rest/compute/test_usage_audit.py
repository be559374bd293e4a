"""Logs of usage audits, which no host writes."""

from __future__ import annotations

from datetime import UTC, datetime

from cloudd.protocols.rest.compute._usage_audit import log

from .server_cloud import ADMIN, ALICE, HOST, ServerCase

PATH = "/os-instance_usage_audit_log"
KIND = "instance_usage_audit_logs"


class UsageAuditTests(ServerCase):
    async def test_fits(self) -> None:
        """Of the last whole month, and of the one before a time: no host has run one."""
        found = await self.fits(KIND, "list_instance_usage_audit_log", ADMIN, "GET", PATH, "2.1")
        self.assertEqual(found[KIND]["hosts_not_run"], [HOST])
        self.assertEqual(found[KIND]["overall_status"], "0 of 1 hosts done. 0 errors.")
        for time in ("2026-11-29%2020:44:00", "2026-11-01%2000:00:00.123"):
            path = f"{PATH}/{time}"
            found = await self.fits(KIND, "get_instance_usage_audit_log", ADMIN, "GET", path, "2.79")
            shown = found["instance_usage_audit_log"]
            period = (shown["period_beginning"], shown["period_ending"])
            self.assertEqual(period, ("2026-10-01 00:00:00", "2026-11-01 00:00:00"))

    async def test_refused(self) -> None:
        """What is no time; and others than administrators."""
        for bad in ("invalid_time", "2026-11-29", "2026-13-01%2000:00:00", "0001-01-05%2000:00:00"):
            await self.refused(400, "badRequest", ADMIN, "GET", f"{PATH}/{bad}")
        for path in (PATH, f"{PATH}/2026-11-29%2020:44:00"):
            await self.refused(403, "forbidden", ALICE, "GET", path)

    def test_no_hosts(self) -> None:
        """All of none are done."""
        self.assertEqual(log(datetime(2026, 1, 31, tzinfo=UTC), [])["overall_status"], "ALL hosts done. 0 errors.")
        self.assertEqual(log(datetime(2026, 1, 31, tzinfo=UTC), [])["period_beginning"], "2025-12-01 00:00:00")
