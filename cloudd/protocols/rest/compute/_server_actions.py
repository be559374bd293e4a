# -*- test-case-name: tests.protocols.rest.compute.test_server_actions -*-
"""
Actions of servers: one route, whose body names the action.  Source: Compute API, "Servers - run an action".

``ACTIONS`` has those that are served, ``ABSENT_ACTIONS`` those that the API has and cloudd has not, each with the
versions that have it; ``docs/compute.md`` lists both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from attrs import frozen
from twisted.internet import defer
from twisted.internet.defer import Deferred

from cloudd import compute as service
from cloudd.compute import Order, ServerPasswords, Verb
from cloudd.image import Quota
from cloudd.interfaces.application import Resources
from cloudd.tasks import LATE, TaskError, TaskFailed, wait_for_end

from .._faults import Fault, bad_request, not_implemented
from .._routes import Answer, route
from . import _action_bodies as bodies
from . import _floating_ips, _rebuild
from ._call import ComputeCall
from ._servers import shown_after_change
from ._versions import NEWEST, OLDEST, Version, text_of

_TELLS_IMAGE: Version = (2, 45)
_WAIT_S: Final = service.CONSOLE_WAIT_S


@frozen
class Action:
    """
    :ivar method: name of the method that carries it out
    :ivar what: it does, for the documents; of an absent one: what it would be
    """

    method: str
    what: str
    first: Version = OLDEST
    last: Version = NEWEST

    def check(self, version: Version) -> None:
        """
        :raises Fault: 404: this version has it not
        """
        if not self.first <= version <= self.last:
            raise Fault(404, f"API version {text_of(version)} is not supported on this method.")


_BEFORE_NETWORK_API: Final[Version] = (2, 43)

#: Name in the body -> what it is.
ACTIONS: Final[Mapping[str, Action]] = {
    "os-start": Action("power", "start a server that is stopped"),
    "os-stop": Action("power", "let it shut down"),
    "pause": Action("power", "let its processors stand still"),
    "unpause": Action("power", "let them go on"),
    "suspend": Action("power", "write its memory to disk and end it"),
    "resume": Action("power", "go on from there"),
    "reboot": Action("reboot", "`SOFT`: ask the guest; `HARD`: do not"),
    "lock": Action("lock", "only administrators change it from now on; `locked_reason` from 2.73"),
    "unlock": Action("unlock", "its project changes it again"),
    "rebuild": Action("rebuild", "a new disk from an image"),
    "resize": Action("resize", "another flavor, on the same host"),
    "confirmResize": Action("confirm_resize", "204: it keeps the new flavor"),
    "revertResize": Action("revert_resize", "it gets the one of before"),
    "createImage": Action("create_image", "a snapshot of its disk; from 2.45 the body has `image_id`"),
    "createBackup": Action("create_backup", "the same, of a `backup_type`, of which the newest `rotation` are kept"),
    "os-getConsoleOutput": Action("console", "200 with the last `length` lines of its console, of at most 100 KiB"),
    "addSecurityGroup": Action("add_group", "all its ports get the group"),
    "removeSecurityGroup": Action("remove_group", "none of its ports has it any more"),
    "addFloatingIp": Action("add_floating_ip", "404: there are no floating IPs yet", last=_BEFORE_NETWORK_API),
    "removeFloatingIp": Action("remove_floating_ip", "404, likewise", last=_BEFORE_NETWORK_API),
    "os-resetState": Action("reset_state", "write another state, and call off what is being done; for administrators"),
    "forceDelete": Action("force_delete", "as `DELETE`: nothing is kept"),
    "restore": Action("restore", "409: what is deleted is gone"),
    "resetNetwork": Action("nothing_to_do", "its host keeps its interfaces right by itself; for administrators"),
    "injectNetworkInfo": Action("nothing_to_do", "nothing is written into guests; for administrators"),
}

_BEFORE_REMOTE_CONSOLES: Final[Version] = (2, 5)

#: Name in the body -> what it would be; answered with 501.
ABSENT_ACTIONS: Final[Mapping[str, Action]] = {
    "addFixedIp": Action("absent", "further addresses: use os-interface", last=_BEFORE_NETWORK_API),
    "changePassword": Action("absent", "setting a password in a running guest"),
    "evacuate": Action("absent", "building it anew on another host"),
    "migrate": Action("absent", "moving it to another host"),
    "os-getRDPConsole": Action("absent", "consoles by RDP", last=_BEFORE_REMOTE_CONSOLES),
    "os-getSerialConsole": Action("absent", "serial consoles", last=_BEFORE_REMOTE_CONSOLES),
    "os-getSPICEConsole": Action("absent", "consoles by SPICE", last=_BEFORE_REMOTE_CONSOLES),
    "os-getVNCConsole": Action("absent", "consoles by VNC", last=_BEFORE_REMOTE_CONSOLES),
    "os-migrateLive": Action("absent", "moving it while it runs"),
    "removeFixedIp": Action("absent", "addresses: use os-interface", last=_BEFORE_NETWORK_API),
    "rescue": Action("absent", "booting it from another image for a while"),
    "shelve": Action("absent", "keeping it without a host"),
    "shelveOffload": Action("absent", "keeping it without a host"),
    "trigger_crash_dump": Action("absent", "crash dumps", first=(2, 17)),
    "unrescue": Action("absent", "booting it from another image for a while"),
    "unshelve": Action("absent", "keeping it without a host"),
}

_VERBS: Final = {
    "os-start": Verb.START,
    "os-stop": Verb.STOP,
    "pause": Verb.PAUSE,
    "unpause": Verb.UNPAUSE,
    "suspend": Verb.SUSPEND,
    "resume": Verb.RESUME,
}
_NETWORK_RULES: Final = {
    "resetNetwork": "os-admin-actions:reset_network",
    "injectNetworkInfo": "os-admin-actions:inject_network_info",
}
_DONE: Final = Answer(202)


class ActionRoutes:
    """``/v2.1/servers/{server_id}/action``."""

    def __init__(self, resources: Resources, passwords: ServerPasswords, poke: Callable[[], None]) -> None:
        """
        :param poke: tasks were ordered in this worker: let them begin now
        """
        self._resources = resources
        self._database = resources.database
        self._passwords = passwords
        self._poke = poke
        images = resources.settings.images
        self._image_quota = Quota(images.quota_images, images.quota_bytes)

    @route("POST", "/v2.1/servers/{server_id}/action")
    async def act(self, call: ComputeCall, server_id: str) -> Answer:
        """202 for most; 409 with the state that is in the way. See the table of actions."""
        name, given = _named(await call.read_object())
        action = ACTIONS.get(name) or ABSENT_ACTIONS.get(name)
        if action is None:
            raise bad_request(f"There is no such action: {name[:80]}. Verify the requested action and try again.")
        action.check(call.version)
        order = call.order(server_id)
        method: Callable[..., Awaitable[Answer]] = getattr(self, f"_{action.method}")
        return await method(call, order, name, given)

    async def _ordered(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Write, and let the tasks begin."""
        result = await self._database.write(function, *arguments)
        self._poke()
        return result

    async def _power(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        bodies.nothing(name, given)
        await self._ordered(service.power, order, _VERBS[name])
        return _DONE

    async def _reboot(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        soft = bodies.is_soft(call, given)
        await self._ordered(lambda connection: service.power(connection, order, Verb.REBOOT, soft=soft))
        return _DONE

    async def _lock(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        await self._database.write(service.lock, order, bodies.lock_reason(call, given))
        return _DONE

    async def _unlock(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        bodies.nothing(name, given)
        await self._database.write(service.unlock, order)
        return _DONE

    async def _rebuild(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        wanted = _rebuild.read(call, given)
        server = await self._ordered(_rebuild.rebuild, order, wanted, await self._passwords.seal(wanted.password))
        document = _rebuild.shown(call, server, await shown_after_change(self._database, call, server), wanted.password)
        here = call.links.to("v2.1", "servers", server.id).encode("ascii")
        return Answer(202, {"server": document}, ((b"Location", here),))

    async def _resize(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        body = call.converted(name, given, bodies.ResizeBody)
        config = bodies.disk_config(body.disk_config)
        await self._ordered(service.resize, order, str(body.flavor), config)
        return _DONE

    async def _confirm_resize(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        bodies.nothing(name, given)
        await self._ordered(service.confirm_resize, order)
        return Answer(204)

    async def _revert_resize(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        bodies.nothing(name, given)
        await self._ordered(service.revert_resize, order)
        return _DONE

    async def _create_image(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        title, items = bodies.image_wanted(call, given)
        image = await self._ordered(service.create_image, order, title, items, self._image_quota)
        return self._told(call, image.id)

    async def _create_backup(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        wanted = bodies.backup_wanted(call, given)
        image = await self._ordered(service.create_backup, order, wanted, self._image_quota)
        if call.version < _TELLS_IMAGE and not wanted.rotation:
            return _DONE  # it goes as soon as it is there
        return self._told(call, image.id)

    def _told(self, call: ComputeCall, image_id: str) -> Answer:
        if call.version >= _TELLS_IMAGE:
            return Answer(202, {"image_id": image_id})
        place = f"{self._resources.urls['api']}/image/v2/images/{image_id}"
        return Answer(202, headers=((b"Location", place.encode("ascii")),))

    async def _console(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        lines = bodies.lines_wanted(call, given)
        task_id = await self._ordered(service.order_console, order)
        waiting = Deferred.fromCoroutine(wait_for_end(self._resources.reactor, self._database, task_id))
        try:
            result = await waiting.addTimeout(_WAIT_S, self._resources.reactor)
        except defer.TimeoutError:
            raise _silent(order) from None
        except TaskFailed as error:
            if error.cause == LATE:
                raise _silent(order) from None
            raise Fault(409, f"The console of instance {order.server_id} cannot be read: {error.cause}") from None
        except TaskError as error:
            raise Fault(503, f"The console of instance {order.server_id} cannot be read: {error.cause}") from None
        return Answer(200, {"output": last_lines(str(result.get("output", "")), lines)})

    async def _add_group(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        await self._database.write(
            service.add_security_group, order, call.converted(name, given, bodies.GroupBody).name
        )
        return _DONE

    async def _remove_group(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        await self._database.write(
            service.remove_security_group, order, call.converted(name, given, bodies.GroupBody).name
        )
        return _DONE

    async def _add_floating_ip(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        await self._database.read(_floating_ips.refuse_add, order, *_floating_ips.read_add(call, name, given))
        raise AssertionError("there are no floating IPs")

    async def _remove_floating_ip(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        await self._database.read(_floating_ips.refuse_remove, order, _floating_ips.read_remove(call, name, given))
        raise AssertionError("there are no floating IPs")

    async def _reset_state(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        await self._ordered(service.reset_state, order, bodies.state_wanted(call, given))
        return _DONE

    async def _force_delete(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        bodies.nothing(name, given)
        await self._ordered(service.delete_server, order)
        return _DONE

    async def _restore(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        bodies.nothing(name, given)
        await self._database.read(service.restore, order)
        raise AssertionError("nothing is ever restored")

    async def _nothing_to_do(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        bodies.nothing(name, given)
        await self._database.read(service.server_to_change, order, _NETWORK_RULES[name])
        service.enforce_admin(order.access, _NETWORK_RULES[name])
        return _DONE

    async def _absent(self, call: ComputeCall, order: Order, name: str, given: Any) -> Answer:
        await self._database.read(service.server_to_read, order.access, order.server_id, "servers:show")
        raise not_implemented(f"{name}, {ABSENT_ACTIONS[name].what}")


def _silent(order: Order) -> Fault:
    return Fault(503, f"The host of instance {order.server_id} does not answer: try again later.")


def _named(body: dict[str, Any]) -> tuple[str, Any]:
    """
    :raises Fault: 400: the body does not name one action
    """
    if len(body) != 1:
        names = ", ".join(sorted(each[:40] for each in body)[:5])
        raise bad_request(f"The body names one action; it has {names or 'none'}.")
    return next(iter(body.items()))


def last_lines(output: str, lines: int | None) -> str:
    """
    The end of a console's output.

    :param lines: how many; None: all of it
    """
    if lines is None:
        return output
    return "\n".join(output.split("\n")[-lines:]) if lines else ""
