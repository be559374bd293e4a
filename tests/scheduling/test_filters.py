"""Each of cloudd's own filters: the contract, and what it is about."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.scheduling import Group, HostPicture, Need, Placement
from cloudd.scheduling import FILTERS

from .contract import FilterContract
from .records import PROJECT, asking, picture

#: Name of a filter -> facts of a host that does not pass (c1 does), what is asked for, words to tenant and operator.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "enabled": ({"is_enabled": False, "disabled_reason": "fan"}, {}, "is ready for new servers", "it is disabled: fan"),
    "up": ({"trouble": "its node is silent"}, {}, "is at work now", "its node is silent"),
    "projects": (
        {"projects": frozenset({"other"})}, {}, "is open to this project", "it is kept for other projects",
    ),
    "avoid": (
        {"node_id": "bad"}, {"avoid": frozenset({"bad"})}, "is left on which the server has not failed to start",
        "the server could not be started on it",
    ),
    "zone": ({"zone": "z2"}, {"zone": "nova"}, "in zone nova", "it is in zone z2"),
    "wanted host": ({}, {"wanted_host": "c1"}, "is called c1", "it is not c1"),
    "architecture": (
        {"architecture": "aarch64"}, {"properties": {"hw_architecture": "x86_64"}}, "has the architecture x86_64",
        "it is aarch64, and the image for x86_64",
    ),
    "hypervisor": (
        {"kind": "Xen"}, {"properties": {"img_hv_type": "qemu"}}, "has the hypervisor qemu",
        "its hypervisor is Xen, and the image for qemu",
    ),
    "vcpus": ({"free_vcpus": 0}, {}, "has 1 free vCPU", "0 of 8 vCPUs are free, 1 are needed"),
    "memory": (
        {"free_memory_mib": 1023}, {}, "has 1024 MiB of free memory",
        "1023 of 16384 MiB of memory are free, 1024 are needed",
    ),
    "disk": ({"free_disk_gib": -5}, {}, "has 10 GiB of free disk", "-5 of 100 GiB of disk are free, 10 are needed"),
    "affinity": (
        {}, {"group": Group(id="g", policy="affinity", on={"node-c1": 1})}, "has the other servers of its group",
        "it has no server of the group",
    ),
    "anti-affinity": (
        {"node_id": "full"}, {"group": Group(id="g", policy="anti-affinity", most=2, on={"full": 2, "node-c1": 1})},
        "has fewer than 2 servers of its group", "it has enough servers of the group",
    ),
    "same host": (
        {}, {"same_hosts": frozenset({"node-c1"})}, "has all servers of the hint same_host",
        "it has not all servers of the hint same_host",
    ),
    "different host": (
        {"node_id": "bad"}, {"different_hosts": frozenset({"bad"})},
        "is free of the servers of the hint different_host", "it has a server of the hint different_host",
    ),
}  # fmt: skip


def _case(name: str) -> type[SynchronousTestCase]:
    facts, asked, told, cause = CASES[name]

    class Case(FilterContract, SynchronousTestCase):
        def setUp(self) -> None:
            self.subject = next(each for each in FILTERS if each.name == name)
            self.hosts = [picture(), picture("c2", **facts)]
            self.placement = asking(**asked)

        def test_said(self) -> None:
            """In words, to tenants and operators."""
            self.assertEqual(self.subject.lacking(self.placement), told)
            self.assertEqual(self.subject.cause(self.hosts[1], self.placement), cause)

    Case.__name__ = Case.__qualname__ = f"{name.title().replace(' ', '').replace('-', '')}Tests"
    return Case


for _name in CASES:
    _made = _case(_name)
    globals()[_made.__name__] = _made
del _made


class FilterTests(SynchronousTestCase):
    def names(self, filter_name: str, placement: Placement, *hosts: HostPicture) -> list[str]:
        """Of those that pass."""
        subject = next(each for each in FILTERS if each.name == filter_name)
        return [host.name for host in subject.passing(hosts, placement)]

    def test_each_has_a_case(self) -> None:
        """None is without its contract."""
        self.assertEqual(sorted(CASES), sorted(each.name for each in FILTERS))

    def test_nothing_asked(self) -> None:
        """A host that has nothing special passes all filters when nothing special is asked for."""
        host = picture()
        self.assertEqual([each.name for each in FILTERS if each.cause(host, asking())], [])

    def test_exactly_enough(self) -> None:
        """The last of everything can be had."""
        asked = asking(need=Need(vcpus=8, memory_mib=16_384, disk_gib=100))
        self.assertEqual([each.name for each in FILTERS if each.cause(picture(), asked)], [])

    def test_own_project(self) -> None:
        """A host that is kept for projects takes these."""
        kept = picture(projects=frozenset({PROJECT, "other"}))
        self.assertEqual(self.names("projects", asking(), kept), ["c1"])

    def test_architectures(self) -> None:
        """Other words for a processor are known, and what it runs besides; the newer property wins."""
        arm = picture("arm", architecture="aarch64")
        for properties, names in (
            ({"architecture": "amd64"}, ["c1"]),
            ({"architecture": "arm64", "hw_architecture": ""}, ["arm"]),
            ({"architecture": "amd64", "hw_architecture": "AArch64"}, ["arm"]),
            ({"hw_architecture": "i686"}, ["c1"]),
            ({"hw_architecture": "riscv64"}, []),
            ({}, ["c1", "arm"]),
        ):
            self.assertEqual(self.names("architecture", asking(properties=properties), picture(), arm), names)

    def test_simulated_hosts_run_everything(self) -> None:
        """Servers there are not real, whatever hypervisor an image is for."""
        asked = asking(properties={"hypervisor_type": "xen"})
        self.assertEqual(self.names("hypervisor", asked, picture(), picture("s", kind="Simulated")), ["s"])

    def test_groups_without_servers(self) -> None:
        """The first server of a group may be anywhere, and other policies are no filter."""
        for policy in ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"):
            group = Group(id="g", policy=policy)
            soft = evolve(group, on={"node-c1": 9})
            for each in (group, soft) if policy.startswith("soft") else (group,):
                for name in ("affinity", "anti-affinity"):
                    self.assertEqual(self.names(name, asking(group=each), picture()), ["c1"])

    def test_near_servers_on_several_hosts(self) -> None:
        """No host has them all; nor has one a server that is nowhere."""
        for hosts in ({"node-c1", "node-c2"}, {""}):
            self.assertEqual(self.names("same host", asking(same_hosts=frozenset(hosts)), picture()), [])
