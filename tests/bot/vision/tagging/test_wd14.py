"""WD14's contract as arithmetic."""

import numpy as np
import pytest
from PIL import Image

from bot.rules.captions.kaomoji import shown_tag
from bot.vision.tagging.wd14 import Cut, Label, prepare, read_labels, read_tags

CSV = """tag_id,name,category,count
9999999,general,9,1
9999998,sensitive,9,1
9999997,questionable,9,1
9999996,explicit,9,1
1,1girl,0,9
2,looking_at_viewer,0,8
3,o_o,0,7
4,some_(heroine),4,6
"""


def labels():
    return read_labels(CSV.splitlines())


def probabilities(*values: float):
    return np.array(values, dtype=np.float32)


def test_labels_stand_in_the_order_of_the_outputs():
    assert [label.name for label in labels()] == [
        *("general", "sensitive", "questionable", "explicit"),
        *("1girl", "looking at viewer", "o_o", "some (heroine)"),
    ]
    assert labels()[-1] == Label("some (heroine)", 4)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "tag_id,name,category,count\n9999999,general,9,1\n"])
def test_a_csv_of_something_else_is_refused(text):
    with pytest.raises(ValueError, match="selected_tags"):
        read_labels(text.splitlines())


@pytest.mark.parametrize(
    ("name", "shown"),
    [("long_hair", "long hair"), ("(o)_(o)", "(o)_(o)"), ("||_||", "||_||"), (">_<", ">_<"), ("a_b_c", "a b c")],
)
def test_underscores_become_spaces_except_in_faces(name, shown):
    assert shown_tag(name) == shown


def test_thresholds_are_strict_and_each_category_has_its_own():
    result = read_tags(probabilities(0.2, 0.9, 0.1, 0, 0.5, 0.36, 0.34, 0.9), labels(), Cut(0.35, 0.85))
    assert [tag for tag, _ in result.general] == ["1girl", "looking at viewer"]
    assert [tag for tag, _ in result.characters] == ["some (heroine)"]
    assert result.rating == "sensitive"


def test_a_probability_at_the_threshold_is_not_above_it():
    result = read_tags(probabilities(1, 0, 0, 0, 0.5, 0.25, 0, 0.5), labels(), Cut(0.25, 0.5))
    assert [tag for tag, _ in result.general] == ["1girl"]
    assert result.characters == ()


def test_tags_keep_the_order_of_the_csv():
    result = read_tags(probabilities(1, 0, 0, 0, 0.4, 0.9, 0.6, 0), labels(), Cut(0.35, 0.85))
    assert [tag for tag, _ in result.general] == ["1girl", "looking at viewer", "o_o"]


def test_the_model_sees_bgr_from_0_to_255():
    tensor = prepare(Image.new("RGB", (10, 10), (250, 100, 5)), 4)
    assert tensor.dtype == np.float32
    assert tensor.shape == (4, 4, 3)
    assert tensor[2, 2].tolist() == [5, 100, 250]


def test_a_picture_is_centred_on_a_white_square():
    tensor = prepare(Image.new("RGB", (40, 20), (0, 0, 0)), 40)
    assert (tensor[:10] == 255).all()
    assert (tensor[10:30] == 0).all()
    assert (tensor[30:] == 255).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_can_be_seen_through_is_white(mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
    if mode == "P":
        image.info["transparency"] = image.getpixel((0, 0))
    assert (prepare(image, 8) == 255).all()


def test_half_transparent_is_mixed_with_white():
    tensor = prepare(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), 8)
    assert np.allclose(tensor, 127, atol=1)
