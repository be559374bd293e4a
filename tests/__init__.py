"""
Tests, run by trial.

How long a generated example takes says nothing here: machines are shared, so hypothesis has neither a deadline nor an
opinion on slowness.
"""

from hypothesis import HealthCheck, settings
from twisted.trial import util

settings.register_profile("cloudd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cloudd")

#: Seconds that a test which waits may take, unless it says so itself: one of a busy machine is not wrong for that.
util.DEFAULT_TIMEOUT_DURATION = 600.0
