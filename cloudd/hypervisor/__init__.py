"""
The process's one way to libvirt; outlives generations.

libvirt takes one event loop per process and keeps what is registered there for ever, so the loop and the connection are
of the kernel, and code that is swapped only observes::

    hypervisor = Hypervisor(reactor, "qemu+unix:///system?socket=/…/libvirt-sock", threads)
    await hypervisor.start()
    watch = hypervisor.observe(changed, connected)
    names = await hypervisor.call(lambda connection: [domain.name() for domain in connection.listAllDomains()])
    watch.end()  # nothing here refers to the two functions any more
    await hypervisor.stop()  # guests go on

Importing this needs libvirt-python (the extra ``libvirt``).
"""

from ._connection import DomainChange, Hypervisor, HypervisorAway, Watch
from ._events import ReactorEvents, events_on
from ._patience import at_most

__all__ = ["DomainChange", "Hypervisor", "HypervisorAway", "ReactorEvents", "Watch", "at_most", "events_on"]
