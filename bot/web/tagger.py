"""How the tagger writes a dataset's captions, read and changed on its page.

GET    /u/api/tagger  the options, and what may be chosen
PUT    /u/api/tagger  {"model", "cut", "profile", …}: all of them, as the page's fields hold them
DELETE /u/api/tagger  back to what is usual
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from bot.errors import Refused
from bot.rules.captions import tag_words
from bot.rules.captions.tagging import CHARACTERS, PROFILES, RATINGS, TagOptions
from bot.services.dataset.tag_options import TagSettings
from bot.web.answers import json_answer, json_of, not_understood
from bot.web.asked import whole
from bot.web.guard import Guard
from bot.web.passes import Pass

LONGEST = 4000
"""Characters of a field, as in Discord's form."""
TEXTS = ("model", "cut", "undesired", "replacements", "first")


class TaggerOptions:
    """The routes of tagger options."""

    def __init__(self, settings: TagSettings) -> None:
        self._settings = settings

    def add_to(self, router: web.UrlDispatcher, guard: Guard) -> None:
        """Register the routes."""
        router.add_get("/u/api/tagger", guard(self._seen))
        router.add_put("/u/api/tagger", guard(self._change))
        router.add_delete("/u/api/tagger", guard(self._reset))

    async def _seen(self, request: web.Request, made: Pass) -> web.StreamResponse:
        return self._shown(await self._settings.of(made.dataset_id, made.user_id))

    async def _change(self, request: web.Request, made: Pass) -> web.StreamResponse:
        values = _values_of(await json_of(request))
        if values is None:
            return not_understood()
        return self._shown(await self._settings.change(made.dataset_id, made.user_id, **values))

    async def _reset(self, request: web.Request, made: Pass) -> web.StreamResponse:
        return self._shown(await self._settings.reset(made.dataset_id, made.user_id))

    def _shown(self, options: TagOptions) -> web.Response:
        host, short = self._settings.host, tag_words.short_model
        return json_answer(
            200,
            {
                "model": options.model,
                "cut": tag_words.written_cut(options),
                "profile": options.profile,
                "characters": options.characters,
                "ratings": options.ratings,
                "underscores": options.underscores,
                "undesired": ", ".join(options.undesired),
                "replacements": "\n".join(map(tag_words.written_replacement, options.replacements)),
                "first": ", ".join(options.first),
                "models": [["", f"{short(host.model)} (usual)"], *([each, short(each)] for each in host.models)],
                "profiles": tag_words.PROFILE_NAMES,
                "names": tag_words.NAMES_CHOICES,
                "rating_places": [["no", "No rating"], *tag_words.RATING_CHOICES],
                "spelling": tag_words.UNDERSCORES,
                "labels": {
                    "cut": tag_words.THRESHOLDS,
                    "undesired": tag_words.NEVER,
                    "replacements": tag_words.OTHERWISE,
                    "first": tag_words.FIRST,
                },
            },
        )


def _values_of(body: Any) -> dict[str, Any] | None:
    """The options as the services have them, None for what is no form of ours; raises Refused with what to write."""
    match body:
        case {"profile": profile, "characters": characters, "ratings": ratings, "underscores": bool(underscores)} if (
            profile in PROFILES and characters in CHARACTERS and ratings in RATINGS
        ):
            if not all(isinstance(body.get(name), str) for name in TEXTS):
                return None
            if any(len(body[name]) > LONGEST for name in TEXTS):
                raise Refused(f"A field takes {LONGEST:,} characters at most.")
            model, cut, undesired, replacements, first = (whole(body[name]) for name in TEXTS)
            return {
                "model": model,
                "profile": profile,
                "characters": characters,
                "ratings": ratings,
                "underscores": underscores,
                "undesired": tag_words.parsed_tags(undesired),
                "replacements": tag_words.parsed_replacements(replacements),
                "first": tag_words.parsed_tags(first),
                **tag_words.parsed_cut(cut),
            }
    return None
