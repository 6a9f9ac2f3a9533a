"""What the rules say of a dataset's pictures, from their stored measures: for the report, the pager, the web page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.rules.measures import Alike, Measures
from bot.rules.quality import Twin, faces_seen, verdict
from bot.rules.report import Seen
from bot.store.database import Connection
from bot.store.quality import measures_of, twins_of
from bot.store.rows import Dataset, Picture


async def judged(tx: Connection, dataset: Dataset, pictures: Sequence[Picture]) -> list[Seen]:
    """Those of all the dataset's `pictures` that were measured, judged; numbers are their places in the dataset."""
    return _seen(dataset, pictures, await measures_of(tx, dataset.id), await twins_of(tx, dataset.id))


def _seen(
    dataset: Dataset, pictures: Sequence[Picture], measures: Mapping[int, Measures | None], twins: Sequence[Alike]
) -> list[Seen]:
    """The pictures that were measured, judged; numbers are their places in the dataset."""
    numbers = {picture.id: number for number, picture in enumerate(pictures, 1)}
    by_id = {picture.id: picture for picture in pictures}
    seen = faces_seen([each for each in measures.values() if each is not None])
    found: dict[int, list[Twin]] = {}
    for pair in twins:
        if pair.first in by_id and pair.second in by_id:
            first, second = by_id[pair.first], by_id[pair.second]
            first_better = _worth(first, measures) >= _worth(second, measures)
            for mine, other, worse in ((first, second, not first_better), (second, first, first_better)):
                found.setdefault(mine.id, []).append(Twin(numbers[other.id], pair.likeness, pair.mirrored, worse))
    return [
        Seen(
            picture_id=picture.id,
            number=numbers[picture.id],
            verdict=verdict(
                dataset.kind,
                picture.width,
                picture.height,
                measures[picture.id],
                found.get(picture.id, ()),
                faces_seen=seen,
            ),
            measures=measures[picture.id],
            has_trigger=dataset.trigger in picture.caption.lower(),
        )
        for picture in pictures
        if picture.id in measures
    ]


def _worth(picture: Picture, measures: Mapping[int, Measures | None]) -> tuple[int, float, int]:
    """Of two alike pictures the larger is kept, then the sharper, then the one that came first."""
    known = measures.get(picture.id)
    return picture.width * picture.height, known.sharpness if known else 0.0, -picture.id
