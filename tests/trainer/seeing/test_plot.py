"""The loss plot: every part of it is there, whatever the run was like."""

from itertools import pairwise

import pytest
from PIL import ImageChops

from tests.trainer.seeing.records import point, run
from trainer.seeing import plot
from trainer.seeing.history import History, Mark
from trainer.seeing.plot import draw_plot


def colours(picture, box=None):
    """Every colour of the picture, or of a part of it."""
    part = picture.crop(box) if box else picture
    return {colour for _, colour in part.getcolors(part.width * part.height)}


def test_it_shows_both_lines_the_steps_and_the_rates():
    picture = draw_plot(run(groups=("unet", "text_encoder")), "lisaxl_v1")
    assert picture.size == (plot.WIDTH, plot.HEIGHT)
    losses = colours(picture, (plot._LEFT, plot._LOSS_TOP, plot.WIDTH, plot._LOSS_BOTTOM))
    assert {plot.SMOOTHED, plot.VALIDATION, plot.FAINT, plot.INK} <= losses
    rates = colours(picture, (plot._LEFT, plot._RATE_TOP, plot.WIDTH, plot._RATE_BOTTOM))
    assert set(plot.RATES[:2]) <= rates
    assert plot.SMOOTHED not in rates


def test_without_validation_there_is_no_second_line():
    assert plot.VALIDATION not in colours(draw_plot(run(validated=False), "x"))


def test_the_line_falls_as_the_loss_does():
    picture = draw_plot(run(validated=False), "x")

    def height(left, right):
        band = picture.crop((left, plot._LOSS_TOP, right, plot._LOSS_BOTTOM))
        pixels = band.load()
        rows = [y for x in range(band.width) for y in range(band.height) if pixels[x, y] == plot.SMOOTHED]
        return sum(rows) / len(rows)

    assert height(plot._LEFT, plot._LEFT + 60) < height(plot.WIDTH - 300, plot.WIDTH - plot._RIGHT) - 100


def test_a_checkpoint_is_marked_and_named():
    plain, marked = run(validated=False), run(validated=False)
    plain.checkpoints.clear()
    difference = ImageChops.difference(draw_plot(plain, "x"), draw_plot(marked, "x"))
    below = difference.crop((plot._LEFT, plot._LOSS_BOTTOM + 10, plot.WIDTH - 200, plot._LOSS_BOTTOM + 60))
    assert difference.crop((plot._LEFT, plot._LOSS_TOP, plot.WIDTH, plot._LOSS_BOTTOM)).getbbox()
    assert below.getbbox()


@pytest.mark.parametrize(
    "losses",
    [[0.1], [0.1, 0.1], [0.0, 0.0], [1e-9, 2e-9], [1e6, 1e-6], [5.0, 4.9, 1000.0]],
    ids=lambda losses: " ".join(map(str, losses)),
)
def test_any_losses_can_be_drawn(losses):
    history = History()
    for step, loss in enumerate(losses, start=1):
        history.add(point(step, loss=loss, smoothed=loss, rates={} if len(losses) == 1 else {"unet": 0.0}))
    history.add_checkpoint(Mark(1, 1))
    assert plot.SMOOTHED in colours(draw_plot(history, "name " * 20))


def test_nothing_cannot_be_drawn():
    with pytest.raises(ValueError, match="at least one"):
        draw_plot(History(), "x")


@pytest.mark.parametrize(("low", "high"), [(0.05, 0.25), (0.0, 1.0), (0.1, 0.1001), (3.0, 4000.0), (1e-9, 3e-9)])
def test_figures_at_the_side_are_round_and_few(low, high):
    ticks = plot._ticks(low, high)
    assert 3 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
    apart = f"{min(later - earlier for earlier, later in pairwise(ticks)):.1e}"
    assert apart[:3] in ("1.0", "2.0", "5.0")


def test_one_wild_step_does_not_flatten_the_line():
    history = run(validated=False)
    calm = plot._loss_range(history)
    history.add(point(1000, loss=50.0, smoothed=0.1))
    assert plot._loss_range(history) == pytest.approx(calm, rel=0.05)
