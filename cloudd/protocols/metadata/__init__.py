"""
The metadata service that guests reach at ``http://169.254.169.254``.

::

    handle = metadata_face(metadata)
    handle(request)      # request.path is b"/openstack/latest/meta_data.json", for example

There are no tokens: who asks is told by where the connection comes from, and by nothing in the request.
"""

from ._face import metadata_face

__all__ = ["metadata_face"]
