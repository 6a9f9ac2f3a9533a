"""Exit codes of the trainer's commands; a service manager and the bot read them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What ended the process."""

    FINISHED = 0
    """Trained to the end, or stopped by request with its file written."""
    FAILED = 1
    """The job failed, and the reason is its last event; or its storage did, and the reason is on stderr."""
    USAGE = 2
    """The command line or the job's description is wrong; nothing was started."""
    PAUSED = 75
    """Interrupted with a resume state written (EX_TEMPFAIL of sysexits.h): start it again to go on."""
    STALE = 76
    """A newer attempt has taken the job; this one left."""
