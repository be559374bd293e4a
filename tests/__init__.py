"""
Tests, run by trial.

How long a generated example takes says nothing here: machines are shared, so hypothesis has neither a deadline nor an
opinion on slowness.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("cloudd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cloudd")
