"""REST routes of interactions: the first answer, and the messages of its webhook."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from tests.wire import messages
from tests.wire.faults import Call
from tests.wire.payloads import message_json
from tests.wire.rest import CALL
from tests.wire.world import EPHEMERAL, LOADING, ApiError, Interaction, Message, World

MESSAGE, DEFER_MESSAGE, DEFER_UPDATE, UPDATE, CHOICES, MODAL = 4, 5, 6, 7, 8, 9
COMMAND, COMPONENT, AUTOCOMPLETE, SUBMIT = 2, 3, 4, 5
_ALLOWED = {
    COMMAND: {MESSAGE, DEFER_MESSAGE, MODAL},
    COMPONENT: {MESSAGE, DEFER_MESSAGE, DEFER_UPDATE, UPDATE, MODAL},
    AUTOCOMPLETE: {CHOICES},
    SUBMIT: {MESSAGE, DEFER_MESSAGE, DEFER_UPDATE, UPDATE},
}


class InteractionRoutes:
    """What the bot may do with an interaction's token."""

    def __init__(self, world: World) -> None:
        self._world = world

    def table(self) -> list[tuple[str, str, Any]]:
        """Method, path below /api/v10, handler."""
        webhook = "/webhooks/{application}/{token}"
        message = f"{webhook}/messages/{{message}}"
        return [
            ("POST", "/interactions/{interaction}/{token}/callback", self.callback),
            ("POST", webhook, self.follow_up),
            ("GET", message, self.get_message),
            ("PATCH", message, self.edit_message),
            ("DELETE", message, self.delete_message),
        ]

    async def callback(self, request: web.Request) -> Any:
        call = request[CALL]
        interaction = self._world.interactions.get(int(request.match_info["interaction"]))
        if interaction is None or interaction.token != request.match_info["token"]:
            raise ApiError(404, 10062, "Unknown interaction")
        self._check_answer(interaction, int(call.body["type"]))
        self._answer(interaction, call)
        interaction.answered_with = int(call.body["type"])
        self._world.touch()
        return self._callback_json(interaction) if call.query.get("with_response") else None

    def _check_answer(self, interaction: Interaction, kind: int) -> None:
        if interaction.answered_with is not None:
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        waited = time.monotonic() - interaction.created
        if waited > self._world.ack_seconds:
            self._world.violation(f"interaction answered after {waited:.1f} s: {interaction.data}")
            raise ApiError(404, 10062, "Unknown interaction")
        if kind not in _ALLOWED[interaction.kind]:
            raise ApiError(400, 50035, f"callback type {kind} cannot answer an interaction of type {interaction.kind}")
        if kind in (UPDATE, DEFER_UPDATE) and interaction.message is None:
            raise ApiError(400, 50035, f"callback type {kind} needs a message to update")

    def _answer(self, interaction: Interaction, call: Call) -> None:
        kind, data = int(call.body["type"]), call.body.get("data") or {}
        if kind == MESSAGE:
            interaction.original = self._post(interaction, data, call)
        elif kind == DEFER_MESSAGE:
            interaction.original = self._post(interaction, {"flags": data.get("flags", 0)}, call, flags=LOADING)
        elif kind == UPDATE and interaction.message is not None:
            interaction.original = messages.edit(self._world, interaction.message, data, call.uploads)
        elif kind == DEFER_UPDATE:
            interaction.original = interaction.message
        elif kind == CHOICES:
            interaction.choices = data["choices"]
        elif kind == MODAL:
            interaction.modal = data

    def _post(self, interaction: Interaction, body: dict[str, Any], call: Call, flags: int = 0) -> Message:
        ephemeral = int(body.get("flags") or 0) & EPHEMERAL
        message = messages.create(
            self._world,
            interaction.channel,
            self._world.bot,
            body,
            call.uploads,
            flags=flags,
            interaction=interaction,
            type=20 if interaction.kind == COMMAND else 0,
            ephemeral_to=interaction.user if ephemeral else None,
        )
        messages.publish(self._world, message)
        return message

    def _callback_json(self, interaction: Interaction) -> dict[str, Any]:
        answer: dict[str, Any] = {"id": str(interaction.id), "type": interaction.kind}
        resource: dict[str, Any] = {"type": interaction.answered_with}
        if interaction.original is not None and interaction.answered_with in (MESSAGE, DEFER_MESSAGE, UPDATE):
            message = interaction.original
            answer |= {
                "response_message_id": str(message.id),
                "response_message_loading": interaction.waiting,
                "response_message_ephemeral": message.ephemeral_to is not None,
            }
            resource["message"] = message_json(self._world, message)
        return {"interaction": answer, "resource": resource}

    async def follow_up(self, request: web.Request) -> Any:
        interaction, call = self._interaction(request), request[CALL]
        if interaction.answered_with is None:
            raise ApiError(404, 10015, "Unknown Webhook")
        if interaction.waiting and interaction.original is not None:
            # The first follow-up after "thinking …" takes that message's place.
            message = messages.edit(self._world, interaction.original, call.body, call.uploads)
        else:
            message = self._post(interaction, call.body, call)
            interaction.followups.append(message)
        self._world.touch()
        return message_json(self._world, message)

    async def get_message(self, request: web.Request) -> Any:
        return message_json(self._world, self._message(request))

    async def edit_message(self, request: web.Request) -> Any:
        call = request[CALL]
        return message_json(self._world, messages.edit(self._world, self._message(request), call.body, call.uploads))

    async def delete_message(self, request: web.Request) -> None:
        messages.delete(self._world, self._message(request))

    def _interaction(self, request: web.Request) -> Interaction:
        token = request.match_info["token"]
        for interaction in self._world.interactions.values():
            if interaction.token == token:
                if interaction.expired:
                    raise ApiError(401, 50027, "Invalid Webhook Token")
                return interaction
        raise ApiError(404, 10015, "Unknown Webhook")

    def _message(self, request: web.Request) -> Message:
        interaction, wanted = self._interaction(request), request.match_info["message"]
        if wanted == "@original":
            message = interaction.original
        else:
            known = [interaction.original, interaction.message, *interaction.followups]
            message = next((m for m in known if m is not None and str(m.id) == wanted), None)
        if message is None or message.id not in self._world.messages:
            raise ApiError(404, 10008, "Unknown Message")
        return message
