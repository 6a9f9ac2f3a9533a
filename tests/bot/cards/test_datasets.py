"""Cards of datasets and batches: harmless words, and Discord's limits at their worst."""

import asyncio
import dataclasses
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.cards.captions import BatchPage, batch_card, batch_links, caption_form, empty_batch_card, handed_over
from bot.cards.dataset import consent_card, dataset_card, dataset_lines, delete_card, pick_card, upload_form
from bot.cards.manage import (
    copy_card,
    helper_view_card,
    helpers_card,
    helping_card,
    merge_card,
    merge_pick_card,
    more_card,
    page_card,
    rename_form,
    sharing_card,
)
from bot.cards.parts import Card, upload
from bot.cards.preview import preview
from bot.cards.report import dropped_card
from bot.cards.text import escaped, listing
from bot.rules.consent import ATTESTATION
from bot.rules.pictures.quality import Finding, Level, Verdict
from bot.services.dataset.arrange import CopyPlan, MergePlan
from bot.services.dataset.captions import PageView
from bot.services.dataset.datasets import DeletePlan, Overview
from bot.services.dataset.sharing import MOST_HELPERS, Circle
from bot.services.intake.intake import BatchReport
from bot.services.posting.messages import FileToSend
from bot.store.pictures import BatchPlace
from bot.store.rows import Dataset, Helper, Picture
from bot.web.passes import PageLink

WORST = "_*`~|<@123456789012345678>@everyone[x](http://y)"
DATASET = Dataset(
    id=2**53,
    guild_id=1,
    channel_id=2,
    thread_id=3,
    owner_id=4,
    name=(WORST * 3)[:60],
    trigger="x" * 24,
    class_word=WORST[:40],
    kind="person",
    state="open",
    last_version=0,
    created_at=0.0,
)
PICTURE = Picture(
    id=2**53,
    dataset_id=2**53,
    batch_id=2**53,
    file="0" * 64 + ".jpg",
    source_sha256="0" * 64,
    file_name="_" * 200,
    width=10_000,
    height=10_000,
    caption="_" * 1000,
    revision=2**31,
    tagged=1,
    warnings="[]",
    added_at=0.0,
)


def check_limits(card: Card) -> None:
    """Discord's: 40 components, 4000 characters of text, custom_ids of at most 100 that differ."""
    items = list(card.walk_children())
    assert len(items) <= 40
    assert sum(len(getattr(item, "content", "")) for item in items) <= 4000
    ids = [item.custom_id for item in items if getattr(item, "custom_id", None) and item.is_dispatchable()]
    assert len(set(ids)) == len(ids)
    assert all(len(custom_id) <= 100 for custom_id in ids)
    for item in items:
        if type(item).__name__ == "ActionRow":
            assert len(item.children) <= 3, "a phone shows three buttons a row"


@given(st.text(max_size=300))
def test_escaped_words_stay_on_one_line_and_mention_nobody(words):
    shown = escaped(words, 100)
    assert "\n" not in shown
    assert not re.search(r"@(everyone|here)|(?<!\\)<[@#:t/]", shown)


@given(st.text(alphabet="ab *_`~|[]()#>-", max_size=60))
def test_escaped_words_read_as_written(words):
    once = " ".join(words.split())
    assert re.sub(r"\\(.)", r"\1", escaped(words)) == once


def test_a_long_list_tells_how_many_more():
    assert listing([f"file {n}" for n in range(12)]).splitlines()[-1] == "… and 7 more"
    assert listing(["one"]) == "one"


FINDING = Finding(Level.RED, "x", "y" * 80, "z" * 80 + ".")


@pytest.mark.parametrize("verdict", [None, Verdict(Level.RED, (FINDING,) * 9)])
@pytest.mark.parametrize("total", [1, 100])
async def test_the_worst_batch_stays_within_discords_limits(total, verdict):
    problems = ("⚠" * 400,) * (9 if verdict is None else 1)
    page = PageView(DATASET, PICTURE, total - 1, total, 1, problems, verdict=verdict)
    drawing = batch_card(BatchPage(2**53, page, ("`" + "n" * 400,) * 30, b"jpeg"))
    check_limits(drawing.view)
    assert drawing.marker in [item.custom_id for item in drawing.view.walk_children() if hasattr(item, "custom_id")]
    assert len(drawing.files[0].description) <= 1024


async def test_the_other_cards_stay_within_discords_limits():
    overview = Overview(DATASET, 100, 100, 100)
    for card in (
        dataset_card(overview, posts_taken=True).view,
        consent_card(DATASET, ATTESTATION),
        delete_card(DeletePlan(DATASET, 100, 100, 1, 100)),
        empty_batch_card(2**53).view,
        dropped_card(2**53, range(1, 1000, 2), 10**16, 14),
        pick_card(2**63, 2**63, [dataclasses.replace(DATASET, id=number) for number in range(25)]),
    ):
        check_limits(card)
    for form in (upload_form(DATASET, 10), caption_form(PICTURE)):
        assert len(form.title) <= 45
        assert len(form.custom_id) <= 100
    assert len(dataset_lines([overview] * 30, 4)) <= 2000
    assert dataset_lines([overview] * 30, 4).endswith("more")
    assert len(handed_over(BatchReport(DATASET, None), ["n" * 500] * 20)) <= 2000
    assert len(batch_links(2**63, [BatchPlace(2**53, 10, 1e9, 2**63, 2**63)] * 10)) <= 2000


async def test_the_cards_around_a_dataset_stay_within_discords_limits():
    circle = Circle(DATASET, tuple(Helper(DATASET.id, 2**63 + number, "asked", 0.0) for number in range(MOST_HELPERS)))
    link = PageLink("http://h/u/#" + "9" * 400, 2**33, False)
    for card in (
        page_card(DATASET, link),
        helpers_card(circle),
        helper_view_card(circle),
        sharing_card(DATASET, 2**63),
        helping_card(DATASET),
        more_card(DATASET),
        copy_card(CopyPlan(DATASET, DATASET.name, 100, ATTESTATION)),
        merge_pick_card(DATASET, [dataclasses.replace(DATASET, id=number) for number in range(30)]),
        merge_card(MergePlan(DATASET, dataclasses.replace(DATASET, trigger="y" * 24), 100, 100, ATTESTATION)),
        dataset_card(Overview(DATASET, 100, 0, 100, tuple(range(2**63, 2**63 + 10))), posts_taken=True).view,
        dataset_card(Overview(dataclasses.replace(DATASET, archived_at=1.0), 1, 0, 100), posts_taken=True).view,
    ):
        check_limits(card)
    assert len(rename_form(DATASET).title) <= 45


async def test_cards_are_not_kept_by_discord_py():
    assert Card().is_finished()
    await asyncio.sleep(0)


def test_the_preview_is_small_and_a_file_can_be_sent_twice(tmp_path):
    Image.new("RGBA", (3000, 1500), "red").save(tmp_path / "big.png")
    small = Image.open(io.BytesIO(preview(tmp_path / "big.png")))
    assert (small.format, small.size) == ("JPEG", (1024, 512))
    file = FileToSend(b"bytes", "a.jpg")
    assert upload(file).fp.read() == upload(file).fp.read() == b"bytes"
