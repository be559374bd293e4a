"""
What runs servers on a host: the driver, and what it is told and tells.

A driver knows guests by the ids of their servers and nothing of tenants, quotas or schedules.  It is asked for states,
not for steps: each call may be made again after whatever came between, and then finds done what is done.  What a guest
does by itself is told by ``observe``; what there is, by ``guests``, which is where the truth is read after a start.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface


class Power(enum.IntEnum):
    """What a guest is doing; the numbers are those of the Compute API (``OS-EXT-STS:power_state``)."""

    UNKNOWN = 0
    RUNNING = 1
    PAUSED = 3
    OFF = 4
    CRASHED = 6
    SUSPENDED = 7


@frozen(kw_only=True)
class GuestInterface:
    """
    One network interface.

    :ivar port_id: of the network service; names the interface for the driver
    :ivar tap: name of the host's tap device, which is there already; empty: none is wanted, the guest's link is down
    """

    port_id: str
    mac_address: str
    tap: str = ""
    mtu: int = 1500


@frozen(kw_only=True)
class Guest:
    """
    A server as it is to be.

    :ivar name: for people who look at the hypervisor; at most 255 characters
    :ivar image: file of the image, which the driver only reads; guests have copy-on-write layers above it
    :ivar image_format: ``raw`` or ``qcow2``
    :ivar disk_bytes: size of the root disk as the guest sees it, at least the image's
    :ivar kernel: boot this file instead of the disk's loader, with ``initrd`` and ``kernel_arguments``
    :ivar config_drive: an ISO 9660 file, which the driver only reads
    :ivar owner: project and user, for who looks at the hypervisor
    """

    id: str
    name: str
    vcpus: int
    memory_mib: int
    disk_bytes: int
    image: Path | None
    image_format: str = "qcow2"
    kernel: Path | None = None
    initrd: Path | None = None
    kernel_arguments: str = ""
    config_drive: Path | None = None
    interfaces: Sequence[GuestInterface] = ()
    owner: Mapping[str, str] = {}


@frozen(kw_only=True)
class Seen:
    """
    A guest as it is.

    :ivar id: of its server; empty: nobody of this cloud has made it, and nobody here touches it
    :ivar name: what the hypervisor calls it
    :ivar cause: of a crash, in words; else empty
    """

    id: str
    name: str
    power: Power
    cause: str = ""


@frozen(kw_only=True)
class HostFacts:
    """
    What a host has, whether used or not.

    :ivar kind: ``QEMU`` or what the Compute API is to call it
    :ivar version: of the hypervisor, as a number: a million for each major, a thousand for each minor one
    :ivar real: whether guests exist; a simulated one's do not
    :ivar notes: what an operator should know, in sentences ("no KVM: guests are emulated")
    """

    kind: str
    version: int
    vcpus: int
    memory_mib: int
    disk_gib: int
    architecture: str
    cpu_model: str
    real: bool
    notes: Sequence[str] = ()


class DriverError(Exception):
    """
    Something could not be done; the guest is as it was, or gone, or what ``guests`` tells.

    :ivar cause: what happened; where a value was wrong it begins with the field's name
    :ivar next_step: what the operator or the tenant can do
    """

    def __init__(self, cause: str, next_step: str) -> None:
        super().__init__(f"{cause}.  {next_step}.")
        self.cause = cause
        self.next_step = next_step


class NoSuchGuest(DriverError):
    """The host has none for this server."""


class HostAway(DriverError):
    """What runs guests here cannot be reached now; guests are untouched.  Made again in a while the call may do."""


class DriverStopped(HostAway):
    """
    The driver was stopped before the call had done everything.  That says nothing of the guest: made again, by the
    driver's successor, the call goes on.
    """


class Unsupported(DriverError):
    """This driver cannot do it; the support matrix says so."""


class IServerDriver(Interface):
    """
    One hypervisor of this host.

    All calls are made in the reactor thread and block it never.  Each gives a Deferred which fails with
    ``DriverError``.  Calls for one server take effect in the order made, for several at once.  A call that is
    cancelled, or whose process dies, leaves what it has done so far; made again it finds that and goes on.

    Ids of servers are UUIDs.  A guest of others that has the id of a server is never touched: the call fails.  Calls
    for a server that has no guest here fail with ``NoSuchGuest`` where nothing else is said.

    Providers pass ``tests.contracts.server_driver.ServerDriverContract``; ``docs/drivers.md`` tells what is the least.
    """

    name = Attribute("``str``: what settings and the support matrix call it.")

    def start(observe: Callable[[Seen], None]) -> Deferred[None]:
        """
        Get ready.

        :param observe: called in the reactor thread when a guest has come into another state, whoever brought it there
        """

    def stop() -> Deferred[None]:
        """
        Let go of the hypervisor; guests go on.

        Calls under way fail with ``DriverStopped`` and begin no further step, so that none comes after what a successor
        does: nobody's patience ends a guest that was started since.  So do calls that are made before the next
        ``start``.  Fires when the steps that run have ended; a hypervisor that hangs is not waited for without end.
        """

    def facts() -> Deferred[HostFacts]:
        """What the host has."""

    def guests() -> Deferred[list[Seen]]:
        """All there are, those of others included, as they are now."""

    def define(guest: Guest) -> Deferred[None]:
        """
        Make what a guest needs, disk included, without starting it.  One that is there gets what is different: more
        memory, vCPUs or disk apply from its next start on; its disk keeps what the guest wrote.

        :raises DriverError: a value cannot be had (no vCPU, a disk smaller than its image or than it is now, an image
            that is not there, of another format, that refers to other files, or that is not the one its disk was made
            from); nothing was changed or is left
        """

    def remove(server_id: str) -> Deferred[None]:
        """End it if it runs, and delete everything that ``define`` made.  Nothing there is no error."""

    def power_on(server_id: str) -> Deferred[None]:
        """Start it, also after a crash; a running one goes on, a paused one is resumed, a suspended one restored."""

    def power_off(server_id: str, patience_s: float) -> Deferred[None]:
        """
        Ask it to shut down and, after ``patience_s`` (0: at once), end it.  One that is paused cannot hear and is ended
        at once; of a suspended one the saved memory is thrown away.  One that is off, or has crashed, stays so.
        """

    def reboot(server_id: str, soft: bool, patience_s: float) -> Deferred[None]:
        """
        Start it anew, as it is defined now; softly: it is asked first, and ended after ``patience_s``.

        Hard, one that is paused, off or has crashed is started too.

        :raises DriverError: softly, and it does not run, as Nova has it; or it is suspended, since its memory would be
            lost: ``power_on`` it first.  It is as it was
        """

    def pause(server_id: str) -> Deferred[None]:
        """
        Let its processors stand still.

        :raises DriverError: it neither runs nor is paused
        """

    def unpause(server_id: str) -> Deferred[None]:
        """
        Let them go on.

        :raises DriverError: it neither runs nor is paused
        """

    def suspend(server_id: str) -> Deferred[None]:
        """
        Write its memory to disk and end it; ``power_on`` restores it, to run also where it was paused.

        :raises DriverError: it neither runs nor is paused nor suspended
        """

    def console(server_id: str, last_bytes: int) -> Deferred[bytes]:
        """
        The end of what it wrote on its serial console, also of a guest that is off.

        :param last_bytes: at most so many; a driver keeps 2 MiB or less, whatever is asked for
        """

    def attach_interface(server_id: str, interface: GuestInterface) -> Deferred[None]:
        """
        Plug one, into a running guest too; one that is there is left as it is.

        :raises DriverError: also where a running guest cannot have it; then it is not defined either
        """

    def detach_interface(server_id: str, port_id: str) -> Deferred[None]:
        """Unplug it; none there is no error."""

    def snapshot(server_id: str, file: Path) -> Deferred[None]:
        """
        Write the root disk as one qcow2 file without backing file; a running guest goes on meanwhile.

        It is the disk of one moment, as a loss of power would leave it: what a guest that is not off, also a suspended
        one, has not written yet is not in it.  ``file`` has its name when it is complete; one that is there is
        replaced.

        :raises DriverError: the file cannot be written
        """

    def rebuild_disk(guest: Guest) -> Deferred[None]:
        """
        Give it a new disk from ``guest.image``, whatever was on the old one, and define it so.  Memory that was saved
        goes with the old disk.

        Cut off at any moment, it has either the old disk, and is defined so, or the new one.

        :raises DriverError: it runs or is paused, or as ``define``
        """
