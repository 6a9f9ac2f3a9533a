"""The tagger against the contract's reference: the same tags, whether pictures come together or one by one."""

import numpy as np
import pytest
from PIL import Image

from bot.config import TaggerConfig
from bot.vision.tagging.tagger import Tagger
from bot.vision.tagging.tagger_worker import BATCH, Model
from bot.vision.tagging.wd14 import Cut, Label, maximum_cut, prepare, read_tags
from tests.bot.vision.tagging.reference import Predictor, mcut_threshold
from trainer.toy.assets import tagger_folder
from trainer.toy.avatars import draw, random_avatar

SIDES = ((300, 200), (448, 448), (120, 400), (640, 640))


@pytest.fixture(scope="module")
def predictor():
    return Predictor(tagger_folder())


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """More pictures than two runs of the model take; of all shapes, some with transparency."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(5)
    found = []
    for number in range(2 * BATCH + 3):
        image = draw(random_avatar(rng, marks=0.3), 256).resize(SIDES[number % len(SIDES)])
        if number % 5 == 4:
            image.putalpha(Image.radial_gradient("L").resize(image.size))
        found.append(folder / f"{number}.png")
        image.save(found[-1])
    return found


@pytest.mark.parametrize("cut", [Cut(), Cut(0.1, 0.2), Cut(mcut=True)], ids=["usual", "low", "mcut"])
async def test_tags_are_the_references(predictor, paths, cut):
    tagger = Tagger(TaggerConfig(model=str(tagger_folder()), threads=2))
    together = await tagger.tag(paths, cut)
    alone = [(await tagger.tag([path], cut))[0] for path in paths]
    await tagger.close()
    for path, one, other in zip(paths, together, alone, strict=True):
        with Image.open(path) as image:
            general, characters, rating = predictor.predict(image, cut.general, cut.mcut, cut.character, cut.mcut)
        for found in (one, other):
            assert [tag for tag, _ in found.general] == list(general)
            assert [tag for tag, _ in found.characters] == list(characters)
            assert found.rating == rating
            assert [score for _, score in found.general] == pytest.approx(list(general.values()), abs=1e-5)


def test_the_models_input_is_the_references_to_the_bit(predictor, paths):
    for path in paths:
        with Image.open(path) as image:
            assert (prepare(image, 448) == predictor.prepare_image(image)[0]).all()


@pytest.mark.parametrize("values", [[0.9, 0.8, 0.1], [0.5, 0.5], [0.02, 0.9], [0.1, 0.11, 0.12, 0.7, 0.71]])
def test_the_largest_gap_is_cut_in_its_middle(values):
    scored = [(str(place), value) for place, value in enumerate(values)]
    assert maximum_cut(scored) == pytest.approx(mcut_threshold(np.array(values, np.float32)), abs=1e-6)


def test_without_two_probabilities_there_is_no_gap():
    assert maximum_cut([]) == maximum_cut([("a", 0.5)]) == 0.0


def test_an_mcut_of_characters_is_at_least_that_of_the_reference():
    labels = (Label("a", 0), Label("b", 0), Label("c", 4), Label("d", 4))
    result = read_tags(np.array([0.9, 0.1, 0.14, 0.01], np.float32), labels, Cut(mcut=True))
    assert [tag for tag, _ in result.general] == ["a"]
    assert result.characters == ()
    result = read_tags(np.array([0.9, 0.1, 0.16, 0.01], np.float32), labels, Cut(mcut=True))
    assert [tag for tag, _ in result.characters] == ["c"]


def test_at_most_two_runs_worth_of_pictures_are_in_memory(paths):
    model = Model(tagger_folder(), 1)
    sizes = [len(part) for part in model._prepared(paths)]
    assert sizes == [0, BATCH, BATCH, 3]
    assert model.tag([], Cut()) == []
