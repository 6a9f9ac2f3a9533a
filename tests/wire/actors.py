"""Members of the guild: they do what a person can do in Discord's client, no more."""

from __future__ import annotations

import secrets
from typing import Any

from tests.wire import messages, modals
from tests.wire.discord_server import DiscordServer
from tests.wire.interaction_routes import AUTOCOMPLETE, COMMAND, COMPONENT, SUBMIT
from tests.wire.messages import Upload
from tests.wire.payloads import attachment_json, interaction_json, member_json, message_json, user_json
from tests.wire.world import (
    ADMINISTRATOR,
    MEMBER_PERMISSIONS,
    Channel,
    Interaction,
    Message,
    StoredFile,
    User,
)

SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER, NUMBER, ATTACHMENT = 1, 2, 3, 4, 5, 6, 10, 11
SLASH_MENU, MESSAGE_MENU = 1, 3


class Actor:
    """One member. Every interaction is returned once the bot has acknowledged it; three seconds without is a
    violation, as in Discord, where the member would read that the application did not respond."""

    def __init__(self, server: DiscordServer, name: str, permissions: int = MEMBER_PERMISSIONS) -> None:
        self._server = server
        self._world = server.world
        self.user: User = self._world.add_user(name, permissions=permissions)

    @property
    def mention(self) -> str:
        return f"<@{self.user.id}>"

    # --- commands ---------------------------------------------------------------------------------------------------
    async def slash(self, command: str, channel: Channel | None = None, **options: Any) -> Interaction:
        """Use `/command`, groups written with spaces. An attachment option takes (name, bytes, content type)."""
        channel = channel or self._world.channel
        return await self._start(COMMAND, channel, self._slash_data(command, options, channel, focused=None))

    async def autocomplete(
        self, command: str, option: str, typed: str, channel: Channel | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """The choices offered while typing an option."""
        channel = channel or self._world.channel
        data = self._slash_data(command, options | {option: typed}, channel, focused=option)
        return (await self._start(AUTOCOMPLETE, channel, data)).choices or []

    async def context_menu(self, name: str, message: Message) -> Interaction:
        """Long-press a message and choose an app's menu entry."""
        assert message.channel.sees(self.user), f"{self.user.name} cannot see that message"
        entry = self._command(name, MESSAGE_MENU)
        data = {
            "id": entry["id"],
            "name": name,
            "type": MESSAGE_MENU,
            "target_id": str(message.id),
            "resolved": {"messages": {str(message.id): message_json(self._world, message)}},
        }
        return await self._start(COMMAND, message.channel, data)

    # --- components and modals --------------------------------------------------------------------------------------
    async def click(self, message: Message, control: str) -> Interaction:
        """Press the button of this custom_id (or its beginning) or label."""
        button = self._control(message, control)
        assert button["type"] == 2, f"{control!r} is not a button"
        return await self._start(COMPONENT, message.channel, _component_data(button), message)

    async def choose(self, message: Message, control: str, *values: str) -> Interaction:
        """Choose values of a menu, by value or label."""
        menu = self._control(message, control)
        by_label = {option["label"]: option["value"] for option in menu.get("options", [])}
        chosen = [by_label.get(value, value) for value in values]
        assert set(chosen) <= set(by_label.values()), f"no such choice: {values}; there are {by_label}"
        return await self._start(COMPONENT, message.channel, _component_data(menu) | {"values": chosen}, message)

    async def submit(self, opened: Interaction, values: dict[str, Any] | None = None) -> Interaction:
        """Send the modal that an interaction opened; inputs without a value stay as prefilled.

        A file input takes a list of (name, bytes, content type).
        """
        modal = opened.modal
        assert modal is not None, f"no modal was opened; the answer was {opened.texts!r}"
        values = dict(values or {})
        stored: list[StoredFile] = []
        answers = {}
        for control in modals.fields(modal):
            given = values.pop(control["custom_id"], None)
            own = self._upload(given or [], opened.channel) if control["type"] == modals.FILE_UPLOAD else []
            stored += own
            answers[control["custom_id"]] = modals.answer(control, given, [str(file.id) for file in own])
        assert not values, f"the modal has no input {sorted(values)}; it has {sorted(answers)}"
        data: dict[str, Any] = {"custom_id": modal["custom_id"], "components": modals.submission(modal, answers)}
        data["resolved"] = {"attachments": {str(f.id): attachment_json(self._world, f) for f in stored}}
        return await self._start(SUBMIT, opened.channel, data, opened.message)

    # --- plain messages ---------------------------------------------------------------------------------------------
    async def post(self, channel: Channel, text: str = "", files: list[Upload] | None = None) -> Message:
        """Write in a channel or thread, with files."""
        assert channel.sees(self.user), f"{self.user.name} cannot see {channel.name}"
        uploads = {f"files[{number}]": upload for number, upload in enumerate(files or [])}
        message = messages.create(self._world, channel, self.user, {"content": text}, uploads)
        messages.publish(self._world, message)
        return message

    # --- how ----------------------------------------------------------------------------------------------------
    async def _start(
        self, kind: int, channel: Channel, data: dict[str, Any], message: Message | None = None
    ) -> Interaction:
        assert channel.sees(self.user), f"{self.user.name} cannot see {channel.name}"
        assert self._server.gateway.connected, "no bot is connected"
        interaction = Interaction(
            self._world.new_id(), secrets.token_urlsafe(48), kind, self.user, channel, data, message
        )
        self._world.interactions[interaction.id] = interaction
        self._world.emit("INTERACTION_CREATE", lambda _: interaction_json(self._world, interaction))
        await self._world.wait_for(
            lambda: interaction.answered_with, self._world.ack_seconds + 5, f"an answer to {data}"
        )
        return interaction

    def _control(self, message: Message, name: str) -> dict[str, Any]:
        assert message.id in self._world.messages, "that message is gone"
        assert message.ephemeral_to in (None, self.user), f"{self.user.name} cannot see that message"
        control = message.control(name)
        assert not control.get("disabled"), f"{name!r} is switched off"
        return control

    def _command(self, name: str, kind: int) -> dict[str, Any]:
        for command in self._world.commands:
            if command["name"] == name and command["type"] == kind:
                needed = int(command["default_member_permissions"] or 0)
                held = self.user.permissions
                assert held & ADMINISTRATOR or held & needed == needed, f"{name!r} is hidden from {self.user.name}"
                return command
        raise AssertionError(f"no command {name!r}; there are {[c['name'] for c in self._world.commands]}")

    def _upload(self, uploads: list[Upload], channel: Channel) -> list[StoredFile]:
        parts = {str(number): upload for number, upload in enumerate(uploads)}
        return list(messages.store_uploads(self._world, channel, parts, "ephemeral-attachments").values())

    def _slash_data(self, words: str, values: dict[str, Any], channel: Channel, focused: str | None) -> dict[str, Any]:
        name, *path = words.split()
        command = self._command(name, SLASH_MENU)
        known, wrappers = command.get("options") or [], []
        for word in path:
            inner = next((o for o in known if o["name"] == word and o["type"] in (SUBCOMMAND, GROUP)), None)
            assert inner is not None, f"/{words}: no {word!r}; there are {[o['name'] for o in known]}"
            wrappers.append(inner)
            known = inner.get("options") or []
        missing = [o["name"] for o in known if o.get("required") and o["name"] not in values and focused is None]
        unknown = set(values) - {o["name"] for o in known}
        assert not missing, f"/{words} needs {missing}"
        assert not unknown, f"/{words} has no {sorted(unknown)}; it has {[o['name'] for o in known]}"
        resolved: dict[str, Any] = {}
        options = [
            {"name": o["name"], "type": o["type"], "value": self._value(o, values[o["name"]], channel, resolved)}
            | ({"focused": True} if o["name"] == focused else {})
            for o in known
            if o["name"] in values
        ]
        for wrapper in reversed(wrappers):
            options = [{"name": wrapper["name"], "type": wrapper["type"], "options": options}]
        return {"id": command["id"], "name": name, "type": SLASH_MENU, "options": options, "resolved": resolved}

    def _value(self, option: dict[str, Any], value: Any, channel: Channel, resolved: dict[str, Any]) -> Any:
        """One option's value as Discord's client would send it; what it would refuse raises AssertionError."""
        kind, name = option["type"], option["name"]
        if kind == ATTACHMENT:
            (file,) = self._upload([value], channel)
            resolved.setdefault("attachments", {})[str(file.id)] = attachment_json(self._world, file)
            return str(file.id)
        if kind == USER:
            user = value.user if isinstance(value, Actor) else value
            resolved.setdefault("users", {})[str(user.id)] = user_json(user)
            member = member_json(self._world, user, permissions=True)
            resolved.setdefault("members", {})[str(user.id)] = {k: v for k, v in member.items() if k != "user"}
            return str(user.id)
        types: dict[int, tuple[type, ...]] = {STRING: (str,), INTEGER: (int,), BOOLEAN: (bool,), NUMBER: (int, float)}
        assert isinstance(value, types[kind]), f"{name} cannot be {value!r}"
        if choices := option.get("choices"):
            assert value in [choice["value"] for choice in choices], f"{name} cannot be {value!r}: {choices}"
        if kind == STRING:
            assert option.get("min_length", 0) <= len(value) <= option.get("max_length", 6000), f"{name}: {value!r}"
        if kind in (INTEGER, NUMBER):
            least, most = option.get("min_value", float("-inf")), option.get("max_value", float("inf"))
            assert least <= value <= most, f"{name} must be {least} to {most}, not {value}"
        return value


def _component_data(control: dict[str, Any]) -> dict[str, Any]:
    return {"custom_id": control["custom_id"], "component_type": control["type"], "id": control["id"]}
