"""A stand-in for `python -m trainer run` that imports no torch: it holds the lock, writes events, and ends as told.

python -m tests.trainer.scripted_child FOLDER ATTEMPT ENDING
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from trainer.contract.directory import DirectoryChannel
from trainer.contract.events import Claimed, Failed, Finished, Heartbeat, Paused
from trainer.contract.exits import Exit
from trainer.contract.folder import JobFolder
from trainer.contract.inbox import attempt_lock

FINISHED = Finished(reason="complete", epoch=1, step=1, file="", sha256="", bytes=0, training_seconds=0.0)
FAILED = Failed(code="bad-picture", message="Picture abc cannot be read; remove it.", retry=False)
PAUSED = Paused(reason="shutdown", step=1, message="paused")


def main(folder: Path, attempt: int, ending: str) -> int:
    stop = threading.Event()
    if ending == "until-asked":
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if ending == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with attempt_lock(folder, attempt):
        channel = DirectoryChannel(folder, attempt)
        channel.append(Claimed(service="scripted", pid=os.getpid(), device="cpu", version="0"))
        while ending in ("deaf", "until-asked") and not stop.is_set():
            time.sleep(0.02)
        end = time.monotonic() + 8.0
        while ending == "beat-for-8-s" and time.monotonic() < end:
            channel.append(Heartbeat())
            time.sleep(0.02)
        match ending:
            case "finish" | "beat-for-8-s":
                channel.append(FINISHED)
            case "fail":
                channel.append(FAILED)
                return Exit.FAILED
            case "until-asked":
                channel.append(PAUSED)
                return Exit.PAUSED
            case "replaced":
                JobFolder(folder).open_attempt(attempt + 1)
                return Exit.STALE
            case "torn":
                with (folder / "attempts" / str(attempt) / "events.jsonl").open("ab") as log:
                    log.write(b'{"seq":2,"at"')
                os.kill(os.getpid(), signal.SIGKILL)
            case _:
                return int(ending) if int(ending) >= 0 else os.kill(os.getpid(), -int(ending)) or 0
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
