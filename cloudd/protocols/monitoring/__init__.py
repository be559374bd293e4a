"""
What a load balancer, an upgrade and Prometheus ask: ``/health`` and ``/metrics``, for the whole host.

::

    handle = monitoring_face(resources, application.health)
    handle(request)      # request.path is b"/health" or b"/metrics"

Neither needs a token: both are asked by machines that have none.  ``/health`` names the parts and says in words what
is wrong with one; causes are sentences written for operators and hold no secrets.
"""

from ._face import monitoring_face

__all__ = ["monitoring_face"]
