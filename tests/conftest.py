"""What all tests share: nothing in them depends on how fast the machine is."""

import os

from hypothesis import HealthCheck, settings

# Tests run side by side have one OpenMP thread each: more than there are cores would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")
