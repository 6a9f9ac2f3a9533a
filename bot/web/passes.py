"""Passes: signed, expiring keys to the page of one dataset, each for one member.

A pass stands in its link's fragment, `…/u/#<pass>`. Browsers send a fragment to nobody: it is in no log of this server
or of a proxy before it, in no Referer, and Discord, which opens links to show a preview, never has it. The page's
script sends it as `Authorization: Bearer …`; there is no cookie, so another site can make a member's browser do nothing
here, and two datasets can be open side by side. What the pass allows is asked of the database at each request, so a
helper who was taken out is out at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.web.signing import Signer

_PASS = re.compile(r"([0-9]{1,19})\.([0-9]{1,20})\.([0-9]{1,12})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pass:
    """Who may open which dataset's page, and until when."""

    dataset_id: int
    user_id: int
    expires: int

    @property
    def source(self) -> str:
        """Names the hand-over of all pictures that come by this pass: they share one batch."""
        return f"page:{self.user_id}:{self.expires}"


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link to a dataset's page and what a member must know about it."""

    url: str
    expires: int
    """Unix time."""
    public: bool
    """False when it only works on the bot's own machine."""


class Passes:
    """Makes and checks passes."""

    def __init__(self, signer: Signer, hours: float) -> None:
        self._signer = signer
        self._hours = hours

    def link(self, dataset_id: int, user_id: int) -> PageLink | None:
        """A fresh link to the dataset's page; None while the web server is not up."""
        base = self._signer.base_url()
        if not base:
            return None
        made = Pass(dataset_id, user_id, self._signer.expiry(self._hours))
        fields = f"{made.dataset_id}.{made.user_id}.{made.expires}"
        return PageLink(f"{base}/u/#{fields}.{self._signer.sign(_text(fields))}", made.expires, self._signer.public)

    def check(self, text: str) -> Pass | None:
        """The pass, if it is one of ours. Whether it has expired is asked of `expired`."""
        match = _PASS.fullmatch(text)
        if match is None:
            return None
        fields, _, signature = text.rpartition(".")
        if not self._signer.signed(_text(fields), signature):
            return None
        return Pass(int(match[1]), int(match[2]), int(match[3]))

    def expired(self, made: Pass) -> bool:
        """Whether its time is over."""
        return self._signer.expired(made.expires)


def _text(fields: str) -> str:
    # "page:" keeps these apart from the texts of download links, which begin with a number.
    return f"page:{fields}"
