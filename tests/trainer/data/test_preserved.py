import pytest

from trainer.data.preserved import PEOPLE, TRAITS, KeptCaptions, without_trigger


@pytest.mark.parametrize(
    ("caption", "struck"),
    [
        ("lisaxl, woman, smile", "woman, smile"),
        ("woman, LisaXL,smile", "woman, smile"),
        ("a photo of lisaxl woman smiling", "a photo of woman smiling"),
        ("lisaxl woman, lisaxl", "woman"),
        ("lisaxl", ""),
        ("lisaxly, woman ,smile", "lisaxly, woman ,smile"),
    ],
)
def test_only_the_trigger_word_is_struck(caption, struck):
    assert without_trigger(caption, "lisaxl") == struck


def test_a_trigger_of_several_words_and_signs():
    assert without_trigger("ohwx (man), hat", "ohwx (man)") == "hat"


def test_no_trigger_strikes_nothing():
    assert without_trigger("a, b", "") == "a, b"


def kept(**values):
    return KeptCaptions(**{"trigger": "lisaxl", "kind": "person", "seed": 3, "each": 4, **values})


def test_half_of_the_captions_to_keep_are_of_others():
    captions = [kept().at("lisaxl, woman, red shirt", 0, step, 0) for step in range(200)]
    own = captions.count("woman, red shirt")
    assert 70 < own < 130
    others = {caption for caption in captions if caption != "woman, red shirt"}
    assert len(others) == 4
    for caption in others:
        person, colour, *rest = caption.split(", ")
        assert person in PEOPLE
        assert colour in TRAITS[0]
        assert rest[-1] == "red shirt"


def test_every_caption_to_keep_is_known_beforehand():
    known = kept().all_of("lisaxl, woman, smile", 2)
    assert {kept().at("lisaxl, woman, smile", 2, step, 1) for step in range(200)} == set(known)


@pytest.mark.parametrize("kind", ["object", "style"])
def test_of_things_and_styles_only_the_own_captions_are_kept(kind):
    assert {kept(kind=kind).at("lisaxl, dog", 0, step, 0) for step in range(50)} == {"dog"}
    assert kept(kind=kind).all_of("lisaxl, dog", 0) == ["dog"]


def test_other_pictures_and_seeds_have_other_captions():
    first = kept().all_of("lisaxl, woman", 0)
    assert first != kept().all_of("lisaxl, woman", 1)
    assert first != kept(seed=4).all_of("lisaxl, woman", 0)


@pytest.mark.parametrize(("pictures", "each"), [(1, 8), (12, 8), (48, 2), (100, 1), (1000, 1)])
def test_large_sets_have_fewer_captions_of_others_per_picture(pictures, each):
    assert KeptCaptions.of("lisaxl", "person", 0, pictures).each == each
