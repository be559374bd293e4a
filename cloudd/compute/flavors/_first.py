# -*- test-case-name: tests.compute.test_first -*-
"""
The flavors of a new cloud: sizes that a guest without hardware virtualization can use, too.

They are made once, when there has never been a flavor; what an operator deletes does not come back.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select

from cloudd.database import tables

from .._facts import Flavor
from ._flavors import add_flavor

#: Ids are those that OpenStack's own first flavors have.
FIRST_FLAVORS: Final = (
    Flavor(id="", flavor_id="42", name="m1.nano", vcpus=1, ram_mib=192, disk_gib=1),
    Flavor(id="", flavor_id="84", name="m1.micro", vcpus=1, ram_mib=256, disk_gib=1),
    Flavor(id="", flavor_id="1", name="m1.tiny", vcpus=1, ram_mib=512, disk_gib=1),
    Flavor(id="", flavor_id="2", name="m1.small", vcpus=1, ram_mib=1024, disk_gib=10),
)


def first_flavors(connection: Connection) -> bool:
    """
    :return: whether there were none, so that they were made now
    """
    if connection.execute(select(tables.flavor.c.id).limit(1)).first() is not None:
        return False
    for flavor in FIRST_FLAVORS:
        add_flavor(connection, flavor)
    return True
