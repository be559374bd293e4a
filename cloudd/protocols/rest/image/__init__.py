"""
Image API v2 on klein, and the data of images by a direct handler.

::

    handle = image_face(identity, images, imports, resources)
    handle(request)        # request.path is "/image" or begins with "/image/"

Rules of who may do what are those of ``cloudd.image``; here requests are read and checked, and records shown.  What
the API has and cloudd has not is in ``ABSENT``.
"""

from ._absent import ABSENT
from ._data import STATES as IMAGE_STATES
from ._discovery import API, MINORS
from ._face import PREFIX, SUBJECTS, image_face

#: What this face serves: name of an API -> versions, for other nodes.
API_VERSIONS = {API: MINORS}

__all__ = ["ABSENT", "API_VERSIONS", "IMAGE_STATES", "PREFIX", "SUBJECTS", "image_face"]
