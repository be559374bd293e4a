"""
Compute API 2.1 with its microversions, on klein.

::

    handle = compute_face(identity, resources, images)
    handle(request)        # request.path is "/compute" or begins with "/compute/"

Rules of who may do what are those of ``cloudd.compute``; here requests are read and checked, and records shown, each as
the microversion has it that the client asks for (``_versions``).  What the API has and cloudd has not is in ``ABSENT``.
"""

from ._absent import ABSENT
from ._face import PREFIX, SUBJECTS, compute_face
from ._server_actions import ABSENT_ACTIONS, ACTIONS
from ._versions import API, MINORS

#: What this face serves: name of an API -> minor versions of 2, for other nodes.
API_VERSIONS = {API: MINORS}

__all__ = [
    "ABSENT",
    "ABSENT_ACTIONS",
    "ACTIONS",
    "API_VERSIONS",
    "PREFIX",
    "SUBJECTS",
    "compute_face",
]
