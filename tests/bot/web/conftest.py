"""The Discord tests' server and bot, for the pages."""

from tests.bot.discord.conftest import lab, pictures, quick  # noqa: F401
