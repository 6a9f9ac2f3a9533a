"""Tags and sentences in one caption are told apart."""

import pytest

from bot.rules.captions.prose import tags_of


@pytest.mark.parametrize(
    ("caption", "tags"),
    [
        ("smile, long hair", ["smile", "long hair"]),
        ("smile, She sits, reading.", ["smile"]),
        ("smile, She sits, reading., hat", ["smile", "hat"]),
        ("A woman, laughing, in a park. It rains!, hat", ["hat"]),
        ("solo, a woman sits, smiling, by the sea., hat", ["solo", "hat"]),
        ("smile, “Two, three.” She counts., ^_^", ["smile", "^_^"]),
        ("smile, a woman who sits on a bench and reads, hat", ["smile"]),
        ("._., !?, ..., x_x", ["._.", "!?", "...", "x_x"]),
        ("smile, st. gloriana's uniform", ["smile", "st. gloriana's uniform"]),
        ("她坐在那里。, smile", ["smile"]),
        ("He waits. He reads., She waits, too.", []),
        ("smile, Captain Copper, hat", ["smile", "Captain Copper", "hat"]),
        ("smile, the eiffel tower, hat", ["smile", "the eiffel tower", "hat"]),
        ("smile, A woman in red, a hat, sitting", ["smile"]),
        ("Red Hat, smile, She sits over there, reading", ["Red Hat", "smile"]),
        ("Smile, hat, She sits, reading.", ["Smile", "hat"]),
        ("smile, looking at viewer, hand on own hip, an apple, the king", None),
        ("a-line dress, the pose, looking to the side, head out of frame, playing with own hair", None),
        ("smile, jack the ripper, alexander the great, brother and sister", None),
        ("chain, mash kyrielight (dangerous beast) (cosplay), abigail (swimsuit) (first ascension) (fate)", None),
        ("smile, blue eyes, love live!, red hat", None),
        ("smile, emma verde (love live!), is the order?, hat", None),
        ("k-on!, d:, ;d, o_o, >:), (o)_(o), ?, !!", None),
        ("smile, hat, park.", ["smile", "hat"]),
        ("smile, nike inc., hat", ["smile", "hat"]),
        ("smile, standing under big tree.", []),
        ("smile, a hat, nike inc., red", ["smile", "red"]),
        ("Angel Beats, smile, love live!, hat", ["hat"]),
        ("smile, woman sitting, with her dog, outdoors", ["smile"]),
        ("smile, with her dog", []),
        ("smile, she waits, hat", ["smile"]),
        ("", []),
    ],
)
def test_what_is_a_tag(caption, tags):
    """None: all of them."""
    items = caption.split(", ") if caption else []
    assert tags_of(items) == (items if tags is None else tags)


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
        # BLIP
        "a woman sits on a bench, with her dog, holding a cup",
        "a man in a suit, standing, next to a car",
        "a woman smiling, wearing glasses, in front of a wall",
        "there is a woman that is sitting on a bench, smiling",
        "arafed woman in a red dress, sitting, on the beach",
        "an old woman, wearing a hat, and smiling.",
        # LLaVA, Florence
        "The image features a woman, smiling, and looking at the camera",
        "This is a portrait of a woman, facing right! Behind her, trees.",
        # phones
        "she sits on the sofa, laughing, so happy!",
        "the woman is laughing, outdoors",
        "a dog, a cat, and a bird on a sofa",
        "costs 1,000, or 0,5, and 123,000",
    ],
)
def test_captions_that_models_and_people_write_are_all_sentence(caption):
    assert tags_of(caption.split(", ")) == []
    assert tags_of(["hat", *caption.split(", ")]) in (["hat"], [])
