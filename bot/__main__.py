"""`python -m bot run | check | invite | backup | demo`: the host's commands."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import discord

from bot.app import Lorelei
from bot.config import Config, load_config
from bot.errors import ConfigError, LoreleiError
from bot.invite import invite_link
from bot.lock import only_bot
from bot.log import start_logging
from bot.store.database import Store

OK, FAILED, WRONG_SETUP = 0, 1, 2
"""Exit codes; 2 means that trying again will not help (deploy/ keeps systemd from restarting on it)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        return int(options.command(options))
    except ConfigError as error:
        print(f"lorelei: {error}", file=sys.stderr)
        return WRONG_SETUP
    except LoreleiError as error:
        print(f"lorelei: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bot", description="Lorelei: an SDXL LoRA workshop on Discord")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, words in (
        ("run", _run, "run the bot until it is stopped"),
        ("check", _check, "say what is missing before it can work"),
        ("invite", _invite, "print the link that invites it to a server"),
        ("backup", _backup, "copy the database while the bot runs"),
    ):
        one = commands.add_parser(name, help=words, description=words)
        one.add_argument("--config", type=Path, default=Path("config.toml"), help="settings (default: %(default)s)")
        one.set_defaults(command=command)
        if name == "backup":
            one.add_argument("to", type=Path, metavar="TO", help="file to write")
    _add_demo(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    words = "play the main job with the real bot in a pretended Discord"
    demo = commands.add_parser("demo", help=words, description=words)
    demo.add_argument("--once", action="store_true", help="end after the scene instead of keeping the page open")
    demo.add_argument("--out", type=Path, default=Path("demo-out"), help="folder to write (default: %(default)s)")
    demo.add_argument("--port", type=int, default=8899, help="of the page on 127.0.0.1 (default: %(default)s)")
    demo.set_defaults(command=_demo)


def _run(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    start_logging(config.log_level, [config.discord.token])
    if not config.discord.token:
        raise ConfigError("there is no token; set LORELEI_TOKEN or [discord] token in config.toml")
    with only_bot(config.paths.data):
        try:
            asyncio.run(serve(config))
        except discord.LoginFailure:
            raise ConfigError(
                "Discord refuses the token; reset it at https://discord.com/developers/applications > Bot "
                "and store the new one"
            ) from None
        except discord.PrivilegedIntentsRequired:
            raise ConfigError(
                "the message content intent is off for this bot; switch it on at "
                "https://discord.com/developers/applications > Bot, or set intake.message_content = false"
            ) from None
        except discord.DiscordException as error:
            raise LoreleiError(
                f"Discord does not let the bot work now ({error}); start it again in a minute"
            ) from error
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise LoreleiError(f"Discord cannot be reached ({error}); check the network and start again") from error
    return OK


async def serve(config: Config) -> None:
    """Run the bot until SIGTERM, SIGINT or a failure; training goes on without it."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with Lorelei(config) as bot:
        running = asyncio.create_task(bot.start(config.discord.token))
        asked = asyncio.create_task(stopping.wait())
        await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if running.done():
            await running  # raises why it ended
            return
        running.cancel()
        await asyncio.wait({running})


def _check(options: argparse.Namespace) -> int:
    from bot.check import check  # what it asks of the model hub is not needed to run

    config = load_config(options.config)
    print(f"✓ Settings {options.config}")
    findings = asyncio.run(check(config))
    for finding in findings:
        print(finding)
    missing = sum(finding.mark == "missing" for finding in findings)
    print("Everything that can be checked is there." if not missing else f"{missing} to put right.")
    return FAILED if missing else OK


def _invite(options: argparse.Namespace) -> int:
    token = load_config(options.config).discord.token
    if not token:
        raise ConfigError("there is no token; set LORELEI_TOKEN or [discord] token in config.toml")
    print(invite_link(token))
    return OK


def _backup(options: argparse.Namespace) -> int:
    database = load_config(options.config).paths.database
    if not database.is_file():
        raise ConfigError(f"there is no database at {database} yet")
    if options.to.is_dir() or not options.to.absolute().parent.is_dir():
        raise ConfigError(f"{options.to} must be a file in a folder that exists")
    asyncio.run(_copy(database, options.to))
    print(f"{options.to}: {options.to.stat().st_size} bytes. Pictures, jobs and LoRA files are not in it.")
    return OK


async def _copy(database: Path, target: Path) -> None:
    store = await Store.open(database, migrate=False)
    try:
        await store.backup(target)
    finally:
        await store.close()


def _demo(options: argparse.Namespace) -> int:
    try:
        from bot.demo.play import demo
    except ModuleNotFoundError as error:
        raise ConfigError(f"the demo needs {error.name}; run: pip install '.[bot,trainer,demo]'") from error
    start_logging("ERROR")
    try:
        asyncio.run(demo(options.out, once=options.once, port=options.port, say=print))
    except asyncio.CancelledError:
        raise LoreleiError("the demo was ended before it was over") from None
    return OK


if __name__ == "__main__":
    sys.exit(main())
