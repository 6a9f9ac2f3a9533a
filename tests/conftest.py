"""For all tests: threads do not fight over the cores; hypothesis measures no time, since a busy machine is no error."""

import os

from hypothesis import settings

# Read by torch when it is first imported. One thread: for tensors this small, waiting for a second one costs up to 15
# times the work itself once the machine has anything else to do (measured); and who waits must sleep, not spin.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Where CI is set, each run has the same examples: a rare one that fails is no fault of the change that meets it.
settings.register_profile("lorelei", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("lorelei")
