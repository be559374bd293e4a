"""
Network API v2.0 on klein.

::

    handle = network_face(identity, resources, nodes.rows)
    handle(request)        # request.path is "/network" or begins with "/network/"

Rules of who may do what are those of ``cloudd.network``; here requests are read and checked, and records shown.  What
the API has and cloudd has not is in ``ABSENT``.
"""

from ._absent import ABSENT
from ._discovery import API, VERSIONS
from ._face import PREFIX, SUBJECTS, network_face

#: What this face serves: name of an API -> versions, for other nodes.
API_VERSIONS = {API: VERSIONS}

__all__ = ["ABSENT", "API_VERSIONS", "PREFIX", "SUBJECTS", "network_face"]
