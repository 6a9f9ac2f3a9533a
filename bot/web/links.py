"""Signed, expiring download links: who has the link has the file until then."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from bot.services.posting.messages import DownloadLink
from bot.web.signing import Signer


class Links:
    """Makes and checks links."""

    def __init__(self, signer: Signer, hours: float) -> None:
        self._signer = signer
        self._hours = hours

    def link(self, job_id: str) -> str:
        """A fresh link to the job's LoRA file; empty while the web server is not up."""
        base = self._signer.base_url()
        if not base:
            return ""
        expires = self._signer.expiry(self._hours)
        return f"{base}/d/{quote(job_id, safe='')}?e={expires}&s={self._signer.sign(_text(job_id, str(expires)))}"

    def offer(self, job_id: str) -> DownloadLink | None:
        """A fresh link with what a member must know about it; None while the web server is not up."""
        url = self.link(job_id)
        return DownloadLink(url, self._hours, self._signer.public) if url else None

    def check(self, job_id: str, expires: str, signature: str) -> Literal["good", "expired", "wrong"]:
        """Whether a link may be followed; the signature is looked at before the time."""
        if not self._signer.signed(_text(job_id, expires), signature):
            return "wrong"
        return "expired" if self._signer.expired(int(expires)) else "good"


def _text(job_id: str, expires: str) -> str:
    return f"{len(job_id)}:{job_id}:{expires}"
