"""
The operators' page, ``/ui`` on the API port: how is production doing right now?

::

    handle = web_face(identity, events, resources, rolling)
    handle(request)      # request.path is b"/ui" or begins with b"/ui/"

One HTML file, one style sheet, one script, read from this package when a generation is built and part of its code
tree, so that a swap replaces the page as it replaces the code.  The page asks for its data below ``/ui/api``; who is
asking says a token of the identity service in a cookie that no script can read.
"""

from ._face import web_face

__all__ = ["web_face"]
