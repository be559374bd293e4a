"""
Identity API v3 on klein: what clients of OpenStack log in with and learn the catalog from.

::

    handle = identity_face(identity, resources)
    handle(request)        # request.path is "/" or begins with "/identity"

The routes stand in one class per subject; what the API has and cloudd has not is in ``ABSENT``.  Rules of who may do
what are those of ``cloudd.identity``; here requests are read and checked, and records shown.
"""

from ._absent import ABSENT
from ._discovery import API, MINORS
from ._face import PREFIX, identity_face, identity_routes
from ._table import SUBJECTS

#: What this face serves: name of an API -> versions, for other nodes.
API_VERSIONS = {API: MINORS}

__all__ = ["ABSENT", "API_VERSIONS", "PREFIX", "SUBJECTS", "identity_face", "identity_routes"]
