"""Downloads: only with a good link, only the finished file, and a bot that goes on when the port is taken."""

import socket

import aiohttp
import pytest

from bot.config import WebConfig
from bot.errors import StorageError
from bot.web.links import Links
from bot.web.server import Download, WebServer
from bot.web.signing import Signer, load_secret
from tests.bot.jobs.lab import Clock

DATA = bytes(range(256)) * 40


@pytest.fixture
async def site(tmp_path):
    """A server with one file, its links, its clock."""
    path = tmp_path / "lisaxl_v1.safetensors"
    path.write_bytes(DATA)

    async def find(job_id):
        return Download(path, path.name) if job_id == "job1" else None

    server, clock = WebServer(WebConfig(port=0), find), Clock()
    links = Links(Signer(b"s" * 32, server.base_url, clock), 72.0)
    await server.start(links)
    async with aiohttp.ClientSession() as session:
        yield session, links, clock, server
    await server.close()


async def test_a_good_link_gives_the_file(site):
    session, links, _, _ = site
    async with session.get(links.link("job1")) as answer:
        assert answer.status == 200
        assert await answer.read() == DATA
        assert answer.headers["Content-Disposition"] == 'attachment; filename="lisaxl_v1.safetensors"'
        assert answer.headers["Cache-Control"] == "private, no-store"


async def test_a_download_can_be_resumed(site):
    session, links, _, _ = site
    async with session.get(links.link("job1"), headers={"Range": "bytes=100-199"}) as answer:
        assert answer.status == 206
        assert await answer.read() == DATA[100:200]


async def test_a_link_expires(site):
    session, links, clock, _ = site
    link = links.link("job1")
    clock.now += 72 * 3600 - 2
    async with session.get(link) as answer:
        assert answer.status == 200
    clock.now += 3
    async with session.get(link) as answer:
        assert answer.status == 410
        assert "fresh one" in await answer.text()


@pytest.mark.parametrize(
    "change",
    [
        lambda link: link.replace("job1", "job2"),
        lambda link: link[:-1] + ("0" if link[-1] != "0" else "1"),
        lambda link: link.replace("?e=", "?e=9"),
        lambda link: link.split("?")[0],
        lambda link: link.split("&")[0],
        lambda link: link.replace("&s=", "&s=%ff%fe"),
        lambda link: link.replace("?e=", "?e=x"),
    ],
)
async def test_a_changed_link_gives_nothing(site, change):
    session, links, _, _ = site
    async with session.get(change(links.link("job1"))) as answer:
        assert answer.status == 403
        assert DATA[:50] not in await answer.read()


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "%2e%2e/secret", "job1/../../x", "job1%00"])
async def test_paths_lead_nowhere(site, name):
    session, _, _, server = site
    async with session.get(f"{server.base_url()}/d/{name}?e=9999999999&s=00") as answer:
        assert answer.status in (400, 403, 404)


async def test_a_file_that_is_gone_is_said_so(site):
    session, links, _, server = site
    async with session.get(links.link("job2")) as answer:
        assert answer.status == 404
    async with session.get(f"{server.base_url()}/health") as answer:
        assert await answer.json() == {"ok": True}


async def test_a_taken_port_does_not_stop_the_bot(caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = WebServer(WebConfig(port=taken.getsockname()[1]), None)
        links = Links(Signer(b"s" * 32, server.base_url), 1.0)
        await server.start(links)
        assert "change [web] in config.toml" in caplog.text
        assert links.link("job1") == ""
        await server.close()


async def test_links_begin_with_the_public_address():
    server = WebServer(WebConfig(port=0, public_url="https://lora.example/bot/"), None)
    links = Links(Signer(b"s" * 32, server.base_url), 1.0)
    await server.start(links)
    assert links.link("job1").startswith("https://lora.example/bot/d/job1?e=")
    await server.close()


def test_the_secret_is_kept_and_private(tmp_path):
    path = tmp_path / "data" / "links.secret"
    secret = load_secret(path)
    path.chmod(0o644)
    assert load_secret(path) == secret
    assert len(secret) == 32
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_secret_is_not_used(tmp_path):
    path = tmp_path / "links.secret"
    path.write_bytes(b"short")
    with pytest.raises(StorageError, match="delete it"):
        load_secret(path)


async def test_a_members_link_serves_the_finished_file(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    trainer.claim().finish(10, DATA)
    await lab.turn()
    async with aiohttp.ClientSession() as session, session.get(lab.services.links.link(job.id)) as answer:
        assert await answer.read() == DATA
