"""
What a server is told of itself: the documents of OpenStack's and Amazon's metadata trees, as Nova has them.

::

    facts = read_facts(connection, server_id)             # in a transaction of the control database
    document = find("/openstack/latest/meta_data.json", facts, os.urandom)
    document.content_type, document.body

    file = config_drive(facts, folder)                    # all of it in an ISO 9660 file; blocks
    file = await drives.make(server)                      # the same of what the records say: ConfigDrives

    metadata = Metadata(resources, own_node)              # for the HTTP face: who has this address, and what is he told
    document = await metadata.find("10.0.0.5", "/latest/meta-data/instance-id")

Documents are functions of facts.  They follow ``nova.api.metadata.base`` to the letter, since guests do; the
differences stand in ``docs/metadata.md``.
"""

from ._drive import LABEL, config_drive, drive_files
from ._drives import FOLDER as CONFIG_DRIVES
from ._drives import ConfigDrives
from ._facts import GuestFacts
from ._reading import NoSuchGuest, NotReady, facts_at, read_facts
from ._service import Metadata, OwnNode, TooManyRequests
from ._tree import Document, NoSuchDocument, find, listing_of

__all__ = [
    "CONFIG_DRIVES",
    "LABEL",
    "ConfigDrives",
    "Document",
    "GuestFacts",
    "Metadata",
    "NoSuchDocument",
    "NoSuchGuest",
    "NotReady",
    "OwnNode",
    "TooManyRequests",
    "config_drive",
    "drive_files",
    "facts_at",
    "find",
    "listing_of",
    "read_facts",
]
