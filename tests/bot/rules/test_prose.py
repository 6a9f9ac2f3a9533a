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
        ("", []),
    ],
)
def test_what_is_a_tag(caption, tags):
    assert tags_of(caption.split(", ") if caption else []) == tags
