"""The steps of the walk, in their order: each does something by the tenant's client and looks at what came of it."""

from __future__ import annotations

import filecmp
import subprocess
from collections.abc import Callable

from ._client import Used, Wish, Wrong
from ._echo import echoes
from ._walk import Walk, need, until

#: All that the walk makes besides servers has this name.
NAME = "walk"
BIG, SNAPSHOT, ASLEEP = "walk-big", "walk-snapshot", "walk-asleep"
FIRST, SECOND, THIRD = "first", "second", "third"
CIDR, ADDRESS = "10.21.0.0/24", "10.21.0.77"
SMALL_MIB, BIG_MIB = 192, 256
ECHO_S = 20.0
SHUT_DOWN = "The system is going down"
KEY_URL = "http://169.254.169.254/latest/meta-data/public-keys/0/openssh-key"
READY = f"cloudd guest: ready, host {FIRST}, addresses {ADDRESS}"
USER_DATA = f"#!/bin/sh\necho the user data ran on $(hostname)\ntimeout 10 wget -q -O - {KEY_URL}\n"


def looks_around(walk: Walk) -> None:
    walk.before = walk.client.listed()
    need(walk.before["server"], [], "servers of a fresh cloud")
    need(walk.client.used(), Used(0, 0, 0), "what a fresh cloud has given away")
    need(walk.client.quota_servers(), 10, "the quota of servers")
    need(walk.client.zones(), ["nova"], "the zones")
    for kind, number in walk.client.hosts().items():
        if number < 1:
            raise Wrong(f"there is no {kind}")


def key(walk: Walk) -> None:
    """What is told of the private key fits to the public one."""
    private = walk.folder / "key"
    walk.public_key = " ".join(walk.client.make_key(NAME, private).split()[:2])
    private.chmod(0o600)  # the command line leaves that to the umask, and ssh-keygen minds
    derived = subprocess.run(["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True).stdout
    need(walk.public_key, " ".join(derived.split()[:2]), "the public key of the private one")


def image(walk: Walk) -> None:
    """What comes down is what went up."""
    walk.client.upload(NAME, walk.image_file)
    walk.client.download(NAME, walk.folder / "image")
    if not filecmp.cmp(walk.image_file, walk.folder / "image", shallow=False):
        raise Wrong("the image is not what was uploaded")


def flavors_and_network(walk: Walk) -> None:
    walk.client.make_flavor(NAME, SMALL_MIB)
    walk.client.make_flavor(BIG, BIG_MIB)
    walk.client.make_server_group(NAME)
    walk.client.make_security_group(NAME)
    walk.client.make_network(NAME, CIDR)
    walk.client.make_port(NAME, NAME, ADDRESS, NAME)


def create(walk: Walk) -> None:
    wish = Wish(FIRST, NAME, NAME, port=NAME, key=NAME, user_data=USER_DATA, server_group=NAME)
    walk.client.boot(wish)
    walk.is_now(FIRST, "ACTIVE")
    shown = walk.client.show(FIRST)
    need(shown.addresses, [ADDRESS], "the server's addresses")
    need(walk.client.port_server(NAME), shown.server_id, "whose the port is")
    need(walk.client.members(NAME), [shown.server_id], "who is in the server group")
    need(walk.client.used(), Used(1, 1, SMALL_MIB), "what is used now")


def told(walk: Walk) -> None:
    """What the guest fetched, and what it was given."""
    console = walk.says(FIRST, READY)
    for words in (
        "cloudd guest: boot 1 of this disk",
        "cloudd guest: metadata from the service",
        f"cloudd guest: uuid {walk.client.show(FIRST).server_id}",
        f"cloudd guest: user data says: the user data ran on {FIRST}",
        f"cloudd guest: user data says: {walk.public_key}",
    ):
        if words not in console:
            raise Wrong(f"the console does not say {words!r}:\n{console[-2000:]}")


def echo(walk: Walk) -> None:
    if echoes(ADDRESS):
        raise Wrong("an echo comes though no rule lets it in")
    rule = walk.client.let_echoes_in(NAME)
    until(lambda: echoes(ADDRESS), "an echo comes when a rule lets it in", ECHO_S)
    walk.client.delete_rule(rule)
    until(lambda: not echoes(ADDRESS), "no echo comes when the rule is gone", ECHO_S)
    walk.client.let_echoes_in(NAME)
    until(lambda: echoes(ADDRESS), "an echo comes when there is a rule again", ECHO_S)


def is_up(walk: Walk, *, boot: int, starts: int) -> None:
    """The first server runs, has booted so often from this disk, and has got its address and metadata at each start."""
    walk.is_now(FIRST, "ACTIVE")
    walk.says(FIRST, f"boot {boot} of this disk")
    walk.says(FIRST, READY, times=starts)


def stop_and_start(walk: Walk) -> None:
    walk.says_anew(FIRST, SHUT_DOWN, lambda: walk.client.stop(FIRST))
    walk.is_now(FIRST, "SHUTOFF")
    if echoes(ADDRESS):
        raise Wrong("an echo comes from a server that is off")
    walk.client.start(FIRST)
    is_up(walk, boot=2, starts=2)


def reboot_softly(walk: Walk) -> None:
    """The guest is asked."""
    walk.says_anew(FIRST, SHUT_DOWN, lambda: walk.client.reboot(FIRST, hard=False))
    is_up(walk, boot=3, starts=3)


def reboot_hard(walk: Walk) -> None:
    """The guest is not asked."""
    asked = walk.client.console(FIRST).count(SHUT_DOWN)
    walk.client.reboot(FIRST, hard=True)
    is_up(walk, boot=4, starts=4)
    need(walk.client.console(FIRST).count(SHUT_DOWN), asked, "how often the guest was asked to end")


def snapshot(walk: Walk) -> None:
    """Another server boots from it, with what was on the disk; the first one goes on."""
    walk.client.snapshot(FIRST, SNAPSHOT)
    walk.is_now(FIRST, "ACTIVE")
    walk.client.boot(Wish(SECOND, SNAPSHOT, NAME, network=NAME, security_group=NAME, config_drive=True))
    console = walk.says(SECOND, f"cloudd guest: ready, host {SECOND}")
    for words in ("boot 5 of this disk", "metadata from the config drive"):
        if words not in console:
            raise Wrong(f"the console does not say {words!r}:\n{console[-1500:]}")
    (address,) = walk.client.show(SECOND).addresses
    until(lambda: echoes(address), "an echo comes from the second server", ECHO_S)
    need("boot 5 of this disk" in walk.client.console(FIRST), False, "whether the first server booted again")


def snapshot_asleep(walk: Walk) -> None:
    """Of a suspended server, which then goes on where it was."""
    walk.client.suspend(SECOND)
    walk.is_now(SECOND, "SUSPENDED")
    walk.client.snapshot(SECOND, ASLEEP)
    walk.is_now(SECOND, "SUSPENDED")
    walk.client.boot(Wish(THIRD, ASLEEP, NAME, network=NAME, security_group=NAME))
    walk.says(THIRD, "boot 6 of this disk")
    walk.client.resume(SECOND)
    walk.is_now(SECOND, "ACTIVE")
    (address,) = walk.client.show(SECOND).addresses
    until(lambda: echoes(address), "an echo comes from the server that slept", ECHO_S)
    need(walk.client.console(SECOND).count("of this disk"), 1, "how often the server that slept booted")


def resize(walk: Walk) -> None:
    walk.client.resize(FIRST, BIG)
    walk.is_now(FIRST, "VERIFY_RESIZE")
    walk.client.confirm(FIRST)
    walk.is_now(FIRST, "ACTIVE")
    need(walk.client.show(FIRST).flavor, BIG, "the flavor")
    need(walk.client.used(), Used(3, 3, 2 * SMALL_MIB + BIG_MIB), "what is used after the resize")
    is_up(walk, boot=5, starts=5)


def rebuild(walk: Walk) -> None:
    """It has a new disk, and the same address."""
    walk.says_anew(FIRST, "boot 1 of this disk", lambda: walk.client.rebuild(FIRST, NAME))
    is_up(walk, boot=1, starts=6)


def history(walk: Walk) -> None:
    done = ["create", "stop", "start", "reboot", "reboot", "createImage", "resize", "confirmResize", "rebuild"]
    need(walk.client.history(FIRST), done, "what was done to the first server")
    need(walk.client.history(SECOND), ["create", "suspend", "createImage", "resume"], "and to the second one")


def delete(walk: Walk) -> None:
    """The port that the project made is free again, and goes when it is told to."""
    walk.client.delete_servers(FIRST, SECOND, THIRD)
    need(walk.client.port_server(NAME), "", "whose the port is")
    need(walk.client.used(), Used(0, 0, 0), "what is used when all is gone")
    for kind, name in (
        *(("image", image) for image in (NAME, SNAPSHOT, ASLEEP)),
        *(("flavor", flavor) for flavor in (NAME, BIG)),
        *((kind, NAME) for kind in ("port", "subnet", "network", "security group", "server group", "keypair")),
    ):
        walk.client.delete(kind, name)
    need(walk.client.listed(), walk.before, "what is listed when all is gone")


STEPS: tuple[tuple[str, Callable[[Walk], None]], ...] = (
    ("limits, quota, zones, hosts", looks_around),
    ("key", key),
    ("image up and down", image),
    ("flavors, groups, network, port", flavors_and_network),
    ("create", create),
    ("what the guest was told", told),
    ("echo refused, allowed, refused", echo),
    ("stop and start", stop_and_start),
    ("soft reboot", reboot_softly),
    ("hard reboot", reboot_hard),
    ("snapshot, and boot from it with a config drive", snapshot),
    ("snapshot of a suspended server", snapshot_asleep),
    ("resize", resize),
    ("rebuild", rebuild),
    ("history", history),
    ("delete", delete),
)
