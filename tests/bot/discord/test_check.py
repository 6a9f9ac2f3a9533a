"""The report on a dataset's pictures and the squares, as members see and press them."""

import io

import pytest
from PIL import Image

from tests.bot.conftest import encoded
from tests.bot.discord.lab import all_text

pytestmark = pytest.mark.slow


def textured(seed: int, size: tuple[int, int] = (96, 96), blur: bool = False) -> bytes:
    """A sharp picture unlike any other seed's; or a blurred one."""
    import random

    rng = random.Random(seed)
    small = Image.frombytes("RGB", (12, 12), bytes(rng.randrange(256) for _ in range(432)))
    image = small.resize(size, Image.Resampling.BICUBIC if blur else Image.Resampling.NEAREST)
    return encoded(image, "PNG")


@pytest.fixture
async def thread(lab):
    """Alice's dataset with four pictures, of which 3 is 2 mirrored; measured."""
    made = await lab.create()
    second = Image.open(io.BytesIO(textured(2)))
    flipped = encoded(second.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG")
    files = [("a.png", textured(1)), ("b.png", textured(2)), ("c.png", flipped), ("d.png", textured(4))]
    await lab.batch(made, files)
    return made


async def report_of(lab, thread, words: str):
    """The report once it says so."""
    card = await lab.card(thread, "report-crop")
    return await lab.until_card(thread, card.id, words)


async def test_a_report_comes_by_itself_after_a_batch(lab, thread):
    card = await report_of(lab, thread, "the same picture twice")
    said = all_text(card)
    assert "**3 (= 2, mirrored)** the same picture twice" in said
    assert "Add pictures: 0 of at least 20 are usable" in said
    assert "Look for yourself" in said
    assert [file.filename for file in card.attachments] == ["report-1.jpg"]
    assert len(lab.cards(thread, "report-crop")) == 1
