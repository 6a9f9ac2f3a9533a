"""Archives through Discord: pictures and captions come out, hostile ones are a sentence, others wait for nobody."""

import asyncio
import os
import sys

import pytest

from bot.demo.harness import free, until
from bot.workers.child import worker_command
from tests.bot.discord.lab import all_text
from tests.bot.zips import packed, picture

pytestmark = pytest.mark.slow


def album(number: int, first: int = 0, **more: bytes) -> bytes:
    files = {f"IMG_{2040 + seed}.jpg": picture(seed) for seed in range(first, first + number)}
    return packed({**files, **more})


async def test_an_archive_becomes_one_batch_with_its_captions(lab):
    thread = await lab.create()
    data = album(5, **{"IMG_2041.txt": b"lisaxl, woman, red hat", "IMG_2044.JPG.bak": b"x", "readme.md": b"x"})
    said = await lab.add(thread, [("lisa.zip", data)])
    assert "Added 5 pictures" in said
    assert "Left out of `lisa.zip`, as not pictures or their captions: `IMG_2044.JPG.bak`, `readme.md`." in said
    card = await lab.card(thread, "cap-next")
    shown = all_text(await lab.until_card(thread, card.id, "readme.md"))
    assert "1 / 5" in shown
    captions = await lab.until_rows(
        "SELECT file_name, caption, tagged FROM picture ORDER BY id", lambda rows: all(row["tagged"] for row in rows)
    )
    assert captions[1]["caption"] == "lisaxl, woman, red hat", "the tagger left it alone"
    assert "solo" in captions[0]["caption"]


async def test_an_archive_beside_pictures_and_in_the_form(lab, pictures):
    thread = await lab.create()
    said = await lab.add(thread, [*pictures(1), ("more.zip", album(2, first=1)), ("bad.zip", b"no archive")])
    assert "Added 3 pictures" in said
    assert "`bad.zip` is not a ZIP archive" in said
    form = await lab.form(await lab.card(thread, "add"), "add")
    sent = await lab.submit(form, pictures=[("again.ZIP", album(3, first=2))])
    said = await lab.said(sent, "Added")
    assert "Added 2 pictures" in said
    assert "IMG_2042.jpg` is the same as picture" in said


async def test_a_posted_archive_is_taken(lab):
    thread = await lab.create()
    await lab.post(lab.alice, thread, "here", [("lisa.zip", album(2))])
    card = await lab.card(thread, "cap-next")
    assert "1 / 2" in all_text(await lab.until_card(thread, card.id, "1 / 2"))


async def test_what_does_not_fit_is_one_sentence(lab):
    thread = await lab.create()
    said = await lab.add(thread, [("lisa.zip", album(20))])
    assert "Added 11 pictures" in said
    assert "The dataset is full: 11 pictures is the most. Left out: `IMG_2051.jpg`" in said
    assert "`IMG_2055.jpg` and 4 more. Remove pictures to make room." in said


async def test_others_are_answered_while_an_archive_is_read(lab, monkeypatch, tmp_path):
    """The reader waits for the test's word, and meanwhile bob makes a dataset of his own and fills it."""
    word = tmp_path / "word"
    os.mkfifo(word)
    code = f"import sys; open({str(word)!r}).read(); from bot.vision.zips.zip_worker import main; main(sys.argv[1:])"
    started = asyncio.Event()

    def waiting(module, *arguments):
        started.set()
        return [sys.executable, "-c", code, *arguments]

    thread = await lab.create()
    monkeypatch.setattr("bot.vision.zips.unzip.worker_command", waiting)
    result = await lab.slash(lab.alice, thread, "dataset add", picture1=("lisa.zip", album(2)))
    await asyncio.wait_for(started.wait(), 60)
    monkeypatch.setattr("bot.vision.zips.unzip.worker_command", worker_command)

    await free(lab.env)
    await lab.said(await lab.slash(lab.bob, lab.lobby, "queue"), "Nothing trains")
    made = await lab.slash(
        lab.bob, lab.lobby, "dataset create", name="Rex", trigger="rexdog", class_word="dog", kind="object"
    )
    await lab.said(made, "gathered here")
    his = lab.lobby.threads[-1]
    options = {"picture1": ("one.jpg", picture(30)), "picture2": ("two.zip", album(1, first=31))}
    await lab.said(await lab.slash(lab.bob, his, "dataset add", **options), "Added 2 pictures")
    assert len(await lab.rows("SELECT * FROM picture WHERE dataset_id = 1")) == 0, "alice's archive is still waiting"
    await asyncio.to_thread(word.write_text, "go on")
    await lab.said(result, "Added 2 pictures")
    await until(lambda: lab.cards(thread, "cap-next"), "her card")
