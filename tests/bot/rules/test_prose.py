"""Tags and sentences in one caption are told apart."""

import pytest

from bot.rules.prose import tags_of


@pytest.mark.parametrize(
    ("caption", "tags"),
    [
        ("smile, long hair", ["smile", "long hair"]),
        ("smile, She sits, reading.", ["smile"]),
        ("smile, She sits, reading., hat", ["smile", "hat"]),
        ("A woman, laughing, in a park. It rains!, hat", ["hat"]),
        ("solo, a woman sits, smiling, by the sea., hat", ["solo", "hat"]),
        ("smile, “Two, three.” She counts., ^_^", ["smile", "^_^"]),
        ("smile, a woman who sits on a bench and reads, hat", ["smile", "hat"]),
        ("._., !?, ..., x_x", ["._.", "!?", "...", "x_x"]),
        ("smile, st. gloriana's uniform", ["smile", "st. gloriana's uniform"]),
        ("她坐在那里。, smile", ["smile"]),
        ("He waits. He reads., She waits, too.", []),
        ("smile, Captain Copper, hat", ["smile", "Captain Copper", "hat"]),
        ("smile, the eiffel tower, hat", ["smile", "the eiffel tower", "hat"]),
        ("smile, A woman in red, a hat, sitting", ["smile"]),
        ("Red Hat, smile, She sits over there, reading", ["Red Hat", "smile"]),
        ("Smile, hat, She sits, reading.", ["Smile", "hat"]),
        ("", []),
    ],
)
def test_what_is_a_tag(caption, tags):
    assert tags_of(caption.split(", ") if caption else []) == tags


@pytest.mark.parametrize(
    "caption",
    [
        "A close-up photo of lisaxl, a woman with long hair, wearing a red hat. She is smiling, looking at the viewer.",
        "a photo of lisaxl, with Lisa, smiling, in the rain.",
        "The image shows a young person, standing, with arms crossed, in front of a wall",
        "She sits on a bench, reading a book, laughing",
        "Portrait, taken outdoors, in the evening; the light is warm, and soft.",
        "“Hello,” she says, waving, and leaves!",
        "Sie sitzt auf einer Bank, liest, und lacht.",
    ],
)
def test_captions_that_models_and_people_write_are_all_sentence(caption):
    assert tags_of(caption.split(", ")) == []
    assert tags_of(["hat", *caption.split(", ")]) in (["hat"], [])
