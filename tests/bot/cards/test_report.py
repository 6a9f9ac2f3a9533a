"""The report and the squares at their largest: within Discord's limits, and telling where the rest can be read."""

import dataclasses

import pytest

from bot.cards.crop import cut_card, cuts_card
from bot.cards.report import report_card
from bot.rules.pictures.quality import Finding, Level, Square, Verdict
from bot.rules.pictures.report import Seen, advice, groups
from bot.services.dataset.crops import Cut, CutsView, CutView
from bot.services.dataset.quality import Report
from bot.store.quality import Drop
from tests.bot.cards.test_datasets import DATASET, PICTURE, check_limits

WORST = Finding(
    Level.RED, "nearly the same as", "Drop it, unless I missed one: a face half hidden or from behind.", "y."
)
VERDICT = Verdict(Level.RED, (WORST,) * 8)


def report(pictures: int, found: int) -> Report:
    """Of so many pictures, all with the same findings, some of which name another picture."""
    findings = tuple(
        dataclasses.replace(WORST, short=f"{WORST.short} {n}", mark=" (= 1000, mirrored)" if n < 2 else "")
        for n in range(found)
    )
    seen = [Seen(n, n, Verdict(Level.RED, findings), None, False) for n in range(1, pictures + 1)]
    return Report(
        dataset=dataclasses.replace(DATASET, kind="person", square=0),
        pictures=tuple(seen),
        groups=tuple(groups(seen)),
        advice=tuple(advice("person", seen, 7)),
        waiting=1000,
        last_drop=Drop(1e9, 1000),
        page=1,
        pages=34,
        squares={1: (0.0, 0.0, 1.0, 1.0)},
        mended=tuple(range(1, pictures + 1)),
    )


def said(drawing) -> str:
    return "\n".join(item.content for item in drawing.view.walk_children() if hasattr(item, "content"))


async def test_the_worst_report_stays_within_discords_limits():
    check_limits(report_card(report(1000, 20), b"").view)


@pytest.mark.parametrize(("pictures", "found", "shortened"), [(12, 2, False), (13, 2, True), (2, 13, True)])
async def test_a_shortened_list_tells_where_all_can_be_read(pictures, found, shortened):
    words = said(report_card(report(pictures, found), b""))
    assert ("stands on its own card: `/dataset captions`" in words) is shortened


async def test_the_worst_squares_stay_within_discords_limits():
    picture = dataclasses.replace(PICTURE, width=600, height=600)
    cuts = tuple(
        Cut(dataclasses.replace(picture, id=n), n, (0.0, 0.0, 1.0, 1.0), True, VERDICT) for n in range(1, 1001)
    )
    check_limits(cuts_card(CutsView(DATASET, cuts, True, (VERDICT,) * 1000, 1, 40), b"", "x" * 200).view)
    check_limits(cut_card(CutView(DATASET, cuts[5], 1000, 5, 7), b"", "x" * 200).view)


async def test_a_square_that_was_not_looked_at_yet_still_says_that_it_is_enlarged():
    cut = Cut(dataclasses.replace(PICTURE, width=600, height=600), 1, (0.0, 0.0, 1.0, 1.0), True, None)
    assert "enlarged to train" in said(cut_card(CutView(DATASET, cut, 1, None, None), b""))


def test_a_square_knows_whether_it_is_enlarged():
    assert Square((0, 0, 1, 1), 1023, 1024).is_enlarged
    assert not Square((0, 0, 1, 1), 1024, 1024).is_enlarged
    assert not Square((0, 0, 1, 1), 10, 0).is_enlarged
