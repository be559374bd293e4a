# -*- test-case-name: tests.guests.test_service -*-
"""
Servers of this host as one part of a generation.

In the agent's worker it says what the host has, looks at all guests when it begins and each minute, and at those that
change by themselves at once.  In other workers it only knows the kinds of tasks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cloudd.compute import HostReport, OnHost, is_reported, report_host, report_trouble, servers_named, servers_on
from cloudd.image import Images
from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed
from cloudd.interfaces.servers import DriverError, IServerDriver, Seen
from cloudd.nodes import NodeError
from cloudd.tasks import Kind
from storage import IObjectStore

from ._hypervisor import HostDriver
from ._kinds import guest_kinds
from ._lookout import (
    Sight,
    bring_in,
    lost,
    order_delete,
    settle_lost,
    sight_of,
    wanted_changes,
)
from ._means import ConfigDrives, ImageSource, Means, NoConfigDrives, NoDataPlane, NoImageFiles, Plugging
from ._stored import StoredImages, StoredSnapshots

LOOK_S: Final = 60.0
AGAIN_S: Final = 5.0  # after a look that failed
SOON_S: Final = 0.5
GATHER_S: Final = 0.2  # what many guests do at once is written at once
ROLES: Final = ("agent", "all")
NAMED: Final = 5  # strangers that health tells by name

log = Logger()


@define(eq=False)
class Guests:
    """
    :param own_node: id of this node
    :param own_name: its name in the registry, which it may not have at first
    :param poke: called when a task was submitted
    :param plugging: None: guests here have no links
    :param image_files: None: files beside the guests
    :param drives: None: there are none
    :ivar driver: what runs servers here
    """

    _resources: Resources
    _images: Images
    _store: IObjectStore
    _own_node: Callable[[], Awaitable[str]]
    _own_name: Callable[[], Awaitable[str]]
    _poke: Callable[[], object]
    _plugging: Plugging | None = None
    _image_files: ImageSource | None = None
    _drives: ConfigDrives | None = None
    driver: HostDriver = field(init=False)
    _node_id: str = field(init=False, default="")
    _leads: bool = field(init=False, default=False)
    _timer: Any = field(init=False, default=None)
    _looking: Deferred[float] | None = field(init=False, default=None)
    _noted: dict[str, Seen] = field(init=False, factory=dict)  # what was told and is not written yet
    _telling: Any = field(init=False, default=None)
    _trouble: str = field(init=False, default="")
    _words: str = field(init=False, default="")
    _sight: Sight = field(init=False, factory=Sight)

    def __attrs_post_init__(self) -> None:
        self.driver = HostDriver(self._resources, self._node, self._note)

    async def _node(self) -> str:
        """Id of this node, which it keeps; a build asks for it several times."""
        if not self._node_id:
            self._node_id = await self._own_node()
        return self._node_id

    # ---- what it does

    def task_kinds(self) -> tuple[Kind, ...]:
        """Of this host."""
        return guest_kinds(self.means())

    def means(self) -> Means:
        """Of all kinds."""
        resources, settings = self._resources, self._resources.settings.compute
        return Means(
            reactor=resources.reactor,
            database=resources.database,
            threads=resources.threads,
            node_id=self._node,
            driver=self.driver.ready,
            images=self._images,
            plugging=self._plugging or NoDataPlane(),
            image_files=_Chosen(self.driver, self._image_files or self._stored_images()),
            drives=self._drives or NoConfigDrives(),
            snapshots=StoredSnapshots(self._images, resources.threads),
            patience_s=settings.shutdown_s,
            folder=self.driver.folder / "snapshots",
        )

    def _stored_images(self) -> StoredImages:
        return StoredImages(self._store, self._resources.threads, self.driver.folder / "images")

    # ---- looking

    def _look_in(self, seconds: float) -> None:
        if self._leads:
            self._timer = self._resources.reactor.callLater(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        self._looking = looking = Deferred.fromCoroutine(self._look_once())
        looking.addCallback(self._looked)

    def _looked(self, seconds: float) -> float:
        self._look_in(seconds)
        return seconds

    async def _look_once(self) -> float:
        """Report and compare; how long to wait until the next time."""
        try:
            chosen = await self.driver.chosen()
            self._words = chosen.words
            if chosen.driver is None:
                await self._tell_trouble(chosen.words)
                return LOOK_S
            driver = await self.driver.ready()
            await self._report(driver)
            await self._compare(driver)
        except NodeError:
            return SOON_S  # this machine has not said yet that it is there
        except DriverError as error:
            await self._tell_trouble(str(error))
            return AGAIN_S
        except Exception:
            log.failure("guests cannot be looked at; it is tried again")
            return AGAIN_S
        self._trouble = ""
        return LOOK_S

    async def _report(self, driver: IServerDriver) -> None:
        facts, settings = await driver.facts(), self._resources.settings.compute
        report = HostReport(
            node_id=await self._node(),
            name=await self._own_name(),
            driver=driver.name,
            kind=facts.kind,
            hypervisor_version=facts.version,
            vcpus=facts.vcpus,
            memory_mib=facts.memory_mib,
            disk_gib=facts.disk_gib,
            vcpu_ratio=settings.vcpu_ratio,
            memory_ratio=settings.memory_ratio,
            disk_ratio=settings.disk_ratio,
            architecture=facts.architecture,
            cpu_model=facts.cpu_model,
            real=facts.real,
            zone=settings.zone,
            notes=tuple(facts.notes),
        )
        if not await self._resources.database.read(is_reported, report):
            await self._resources.database.write(report_host, report)

    async def _tell_trouble(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        try:
            await self._resources.database.write(report_trouble, await self._node(), trouble)
        except Exception:
            log.failure("that this host cannot run servers could not be written; it is tried again")
            return
        self._trouble = trouble

    async def _compare(self, driver: IServerDriver) -> None:
        node_id, database = await self._node(), self._resources.database
        servers: list[OnHost] = await database.read(servers_on, node_id)  # before the look: see `_lookout`
        guests = await driver.guests()
        seen = {each.id: each for each in guests if each.id}
        self._sight, left = await database.read(sight_of, servers, guests)
        await self._bring_in(node_id, servers, seen)
        ordered = 0
        if unattended := await database.read(lost, servers):
            ordered += await database.write(settle_lost, node_id, unattended, seen)
        if left:
            ordered += await database.write(order_delete, node_id, left)
        if ordered:
            self._poke()

    async def _bring_in(self, node_id: str, servers: list[OnHost], seen: Mapping[str, Seen]) -> None:
        resumes = self._resources.settings.compute.resume_guests
        changed = wanted_changes(servers, seen, resumes=resumes)
        if not changed:
            return
        ordered: int = await self._resources.database.write(bring_in, node_id, changed, seen, resumes)
        if ordered:
            self._poke()

    def _note(self, seen: Seen) -> None:
        """The driver tells that a guest has changed, by itself or since a task has changed it."""
        if not self._leads or not seen.id:
            return
        self._noted[seen.id] = seen
        if self._telling is None:
            self._telling = self._resources.reactor.callLater(GATHER_S, self._tell)

    def _tell(self) -> None:
        self._telling, noted = None, self._noted
        self._noted = {}
        telling = Deferred.fromCoroutine(self._write_noted(noted))
        telling.addErrback(lambda failure: log.failure("what guests do is not written; the next look does it", failure))

    async def _write_noted(self, noted: Mapping[str, Seen]) -> None:
        node_id = await self._node()
        servers = await self._resources.database.read(servers_named, node_id, sorted(noted))
        later = {each.id for each in servers if each.id in self._noted}  # told again while these were read
        await self._bring_in(node_id, [each for each in servers if each.id not in later], noted)

    # ---- as one part of a generation

    async def self_check(self) -> None:
        """
        Read the table of servers.

        :raises SelfCheckFailed:
        """
        try:
            await self._resources.database.read(servers_on, "")
        except Exception as error:
            raise SelfCheckFailed("cloudd.guests", str(error) or type(error).__name__) from error

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing yet: another generation may look after the guests still."""

    def lead(self) -> None:
        """In the agent's worker: look after the guests.  Safe to call again."""
        if self._resources.role in ROLES and not self._leads:
            self._leads = True
            self._look_in(0)

    def snapshot(self) -> dict[str, Any]:
        """Nothing: all is in the database and with the driver."""
        return {}

    def retire(self) -> None:
        """Look no more."""
        self._leads = False
        for timer in (self._timer, self._telling):
            if timer is not None:
                timer.cancel()
        self._timer = self._telling = None

    def rest(self) -> Deferred[None]:
        """When no task runs any more: let go of the driver; guests go on."""
        self.retire()
        looking = self._looking
        if looking is None or looking.called:
            return self.driver.stop()
        waiting: Deferred[None] = Deferred()
        looking.addBoth(_tell_of_end, waiting)
        return waiting.addCallback(lambda _: self.driver.stop())

    def health(self) -> list[PartHealth]:
        """Of the agent's worker."""
        if not self._leads:
            return []
        if self._trouble and self._resources.settings.compute.driver != "none":
            return [PartHealth("servers", ok=False, cause=self._trouble)]
        return [PartHealth("servers", ok=True, cause="; ".join(filter(None, (self._words, *self._odd()))))]

    def _odd(self) -> list[str]:
        found = []
        if strangers := self._sight.strangers:
            more = ", …" if len(strangers) > NAMED else ""
            found.append(
                f"{len(strangers)} guests are nobody's here and are left alone: {', '.join(strangers[:NAMED])}{more}"
            )
        if missing := self._sight.missing:
            more = ", …" if len(missing) > NAMED else ""
            found.append(
                f"{len(missing)} servers have lost their guests: {', '.join(missing[:NAMED])}{more}; rebuild them"
            )
        return found


@define(eq=False)
class _Chosen:
    """Files for drivers whose guests boot from something."""

    _driver: HostDriver
    _files: ImageSource
    _none: ImageSource = field(init=False, factory=NoImageFiles)

    async def get(self, image: Any) -> Any:
        driver = await self._driver.ready()
        return await (self._none if driver.name == "simulated" else self._files).get(image)


def _tell_of_end(result: Any, waiting: Deferred[None]) -> Any:
    waiting.callback(None)
    return result
