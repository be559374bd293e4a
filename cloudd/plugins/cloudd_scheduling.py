"""Filters and weighers of the scheduler that cloudd brings itself."""

from cloudd.scheduling import FILTERS, WEIGHERS

(
    enabled, up, projects, avoid, zone, wanted_host, architecture, hypervisor, vcpus, memory, disk, affinity,
    anti_affinity, same_host, different_host,
) = FILTERS  # fmt: skip
by_vcpus, by_memory, by_disk, by_group = WEIGHERS
