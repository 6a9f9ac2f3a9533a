"""LocalRunner: trainer services on this machine, one inbox each. It hands attempts over; order stays with dispatch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainer.contract.folder import JobFolder
from trainer.contract.inbox import Assignment, Inbox


class LocalRunner:
    """The services named in the config; plain blocking calls, for a thread."""

    def __init__(self, inboxes: Path, jobs: Path, services: Sequence[str]) -> None:
        self._inboxes = inboxes.absolute()
        self._jobs = jobs.absolute()
        self.services = tuple(services)

    def inbox(self, service: str) -> Inbox:
        """The inbox of a service."""
        return Inbox(self._inboxes / service)

    def folder(self, job_id: str) -> JobFolder:
        """The folder of a job."""
        return JobFolder(self._jobs / job_id)

    def assignment(self, job_id: str, attempt: int) -> Assignment:
        """What the inbox holds for an attempt."""
        return Assignment(self._jobs / job_id, attempt)

    def free(self) -> list[str]:
        """Services that run and have nothing to do, in the config's order."""
        return [service for service in self.services if self._is_free(self.inbox(service))]

    def is_served(self, service: str) -> bool:
        """True while the service runs."""
        return self.inbox(service).is_served()

    def any_served(self) -> bool:
        """True while at least one service runs."""
        return any(self.is_served(service) for service in self.services)

    def held(self, service: str) -> list[Assignment]:
        """Attempts the service has claimed and not let go; raises ChannelError."""
        return self.inbox(service).claimed()

    def holds(self, service: str, job_id: str, attempt: int) -> bool:
        """True while the service's inbox has the attempt, waiting or claimed."""
        return self.inbox(service).holds(self.assignment(job_id, attempt))

    def hand_over(self, service: str, job_id: str, attempt: int, *, stop: bool) -> None:
        """Open the attempt and put it into the service's inbox, durably; twice is the same as once.

        With `stop` the attempt only writes what an earlier one had trained. Raises ChannelError, InvalidJob.
        """
        folder = self.folder(job_id)
        folder.open_attempt(attempt)
        if stop:
            folder.set_desired("stop", attempt)
        inbox = self.inbox(service)
        inbox.prepare()
        inbox.assign(self.assignment(job_id, attempt))

    def withdraw(self, service: str, job_id: str, attempt: int) -> bool:
        """Take an attempt back that the service has not claimed; False when it has, or never had it."""
        return self.inbox(service).withdraw(self.assignment(job_id, attempt))

    def ask_to_stop(self, job_id: str, attempt: int) -> None:
        """Say durably that the attempt is to end and keep what was trained; raises ChannelError, InvalidJob."""
        folder = self.folder(job_id)
        if folder.desired().wish != "stop":
            folder.set_desired("stop", attempt)

    @staticmethod
    def _is_free(inbox: Inbox) -> bool:
        return inbox.is_served() and not inbox.waiting() and not inbox.claimed()
