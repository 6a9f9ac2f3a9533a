"""What the rules say of a dataset's pictures, from their stored measures: for the report, the pager, the web page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.config import TrainingConfig
from bot.rules.pictures.crop import focus_of, pixels
from bot.rules.pictures.measures import Alike, Box, Measures
from bot.rules.pictures.quality import Square, Twin, faces_seen, verdict
from bot.rules.pictures.report import Seen
from bot.store.database import Connection
from bot.store.quality import measures_of, twins_of
from bot.store.rows import Dataset, Picture
from trainer.contract.config import TrainConfig


def usual_config(training: TrainingConfig, dataset: Dataset) -> TrainConfig:
    """What a training of the dataset starts from when its member chooses no preset, with what was said of squares."""
    return training.config_for(training.preset_for(dataset.kind), said_of_squares(dataset))


def said_of_squares(dataset: Dataset) -> dict[str, bool]:
    """The setting that a member chose for the dataset's trainings; none: as the preset has it."""
    return {} if dataset.square is None else {"square": bool(dataset.square)}


async def judged(tx: Connection, dataset: Dataset, pictures: Sequence[Picture], training: TrainingConfig) -> list[Seen]:
    """Those of all the dataset's `pictures` that were measured, judged as trainings show them; in squares if so."""
    looked = await looked_at(tx, dataset, pictures, training)
    return looked.judged(square=looked.config.square)


async def looked_at(
    tx: Connection, dataset: Dataset, pictures: Sequence[Picture], training: TrainingConfig
) -> LookedAt:
    """What is known of all the dataset's `pictures`."""
    measures, twins = await measures_of(tx, dataset.id), await twins_of(tx, dataset.id)
    return LookedAt(dataset, tuple(pictures), measures, tuple(twins), usual_config(training, dataset))


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A dataset's pictures with their measures, to be judged in their shapes or in their squares."""

    dataset: Dataset
    pictures: tuple[Picture, ...]
    measures: Mapping[int, Measures | None]
    """By picture id; only of those that were looked at."""
    twins: tuple[Alike, ...]
    config: TrainConfig
    """What a training starts from: whether it uses squares, and at what size."""

    def boxes(self) -> dict[int, Box]:
        """The square of each picture, by its id."""
        return {each.id: focus_of(self.dataset, each, self.measures.get(each.id)) for each in self.pictures}

    def judged(self, *, square: bool) -> list[Seen]:
        """The pictures that were measured, judged; numbers are their places in the dataset."""
        seen = faces_seen([each for each in self.measures.values() if each is not None])
        twins = self._twins()
        found = []
        for number, picture in enumerate(self.pictures, 1):
            if picture.id not in self.measures:
                continue
            measures = self.measures[picture.id]
            cut = self._square(picture, measures) if square else None
            found.append(
                Seen(
                    picture_id=picture.id,
                    number=number,
                    verdict=verdict(
                        self.dataset.kind,
                        picture.width,
                        picture.height,
                        measures,
                        twins.get(picture.id, ()),
                        faces_seen=seen,
                        square=cut,
                    ),
                    measures=measures.within(cut.box) if measures and cut else measures,
                    has_trigger=self.dataset.trigger in picture.caption.lower(),
                )
            )
        return found

    def _square(self, picture: Picture, measures: Measures | None) -> Square:
        box = focus_of(self.dataset, picture, measures)
        trained_at = 0 if self.config.bucket_no_upscale else self.config.resolution
        return Square(box, pixels(box, picture.width), trained_at)

    def _twins(self) -> dict[int, list[Twin]]:
        """What each picture is alike to, by its id."""
        numbers = {picture.id: number for number, picture in enumerate(self.pictures, 1)}
        by_id = {picture.id: picture for picture in self.pictures}
        found: dict[int, list[Twin]] = {}
        for pair in self.twins:
            if pair.first in by_id and pair.second in by_id:
                first, second = by_id[pair.first], by_id[pair.second]
                first_better = self._worth(first) >= self._worth(second)
                for mine, other, worse in ((first, second, not first_better), (second, first, first_better)):
                    found.setdefault(mine.id, []).append(Twin(numbers[other.id], pair.likeness, pair.mirrored, worse))
        return found

    def _worth(self, picture: Picture) -> tuple[int, float, int]:
        """Of two alike pictures the larger is kept, then the sharper, then the one that came first."""
        known = self.measures.get(picture.id)
        return picture.width * picture.height, known.sharpness if known else 0.0, -picture.id
