"""The Discord tests' bot, for the demo's page."""

from tests.bot.discord.conftest import lab, pictures, quick  # noqa: F401
