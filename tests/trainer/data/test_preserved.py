import pytest

from trainer.data.preserved import without_trigger


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
