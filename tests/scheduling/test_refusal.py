"""What is said where no host is left."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.scheduling import HostPicture, Need, Placement
from cloudd.scheduling import Refusal, decide, find_plugins, refusal

from .records import asking, picture

RULES = find_plugins().rules((), {})
BIG = Need(vcpus=9, memory_mib=20_000, disk_gib=10)


class RefusalTests(SynchronousTestCase):
    def refusal(self, placement: Placement, *hosts: HostPicture) -> Refusal:
        return refusal(decide(hosts, placement, 1, RULES), placement, RULES)

    def said(self, placement: Placement, *hosts: HostPicture) -> str:
        return self.refusal(placement, *hosts).message.removeprefix("No valid host was found. ")

    def test_what_the_tenant_reads(self) -> None:
        """The wishes that took hosts, of what is the cloud's own only what took the last; no host's name."""
        fine, off = picture(), picture("c2", is_enabled=False)
        for placement, hosts, words in (
            (asking(need=Need(vcpus=9, memory_mib=1, disk_gib=1)), [fine, off], "No host has 9 free vCPUs."),
            (asking(zone="z1"), [fine], "There is no host in zone z1."),
            (asking(zone="nova", need=BIG), [fine, picture("c3", zone="z1")], "No host has 9 free vCPUs in zone nova."),
            (
                asking(need=BIG),
                [fine, picture("c3", free_vcpus=16)],
                "No host has 9 free vCPUs and 20000 MiB of free memory.",
            ),
            (asking(), [off], "No host is ready for new servers."),
            (asking(), [picture(trouble="x")], "No host is at work now."),
            (asking(), [picture(projects=frozenset({"secret"}))], "No host is open to this project."),
            (
                asking(same_hosts=frozenset({"node-c9"}), properties={"architecture": "riscv64"}),
                [fine],
                "No host has the architecture riscv64.",
            ),
            (asking(), [], "There is no host that runs servers."),
        ):
            self.assertEqual(self.said(placement, *hosts), words)

    def test_what_operators_read(self) -> None:
        """How many each filter took, and of some hosts why; not more than a page."""
        hosts = [picture(f"c{number}", free_vcpus=0) for number in range(30)]
        details = self.refusal(asking(), *hosts, picture("off", is_enabled=False)).details.splitlines()
        self.assertEqual(details[0], "of 31 hosts the filters removed: enabled 1, vcpus 30")
        self.assertEqual(details[1], "c0: vcpus: 0 of 8 vCPUs are free, 1 are needed")
        self.assertEqual((len(details), details[-1]), (22, "and 11 more"))

    def test_what_may_pass(self) -> None:
        """Hosts that do not work may in a moment; what is too small stays so."""
        self.assertTrue(self.refusal(asking()).may_pass)
        self.assertTrue(self.refusal(asking(), picture(trouble="x"), picture("c2", free_vcpus=0)).may_pass)
        self.assertFalse(self.refusal(asking(), picture(free_vcpus=0)).may_pass)
        self.assertFalse(self.refusal(asking(), picture(is_enabled=False)).may_pass)
        self.assertFalse(self.refusal(asking(), picture(trouble="x", free_vcpus=0)).may_pass)
