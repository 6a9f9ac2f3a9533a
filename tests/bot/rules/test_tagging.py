"""Tagger options: each does what it says, in the order it says."""

import pytest

from bot.rules.captions.kaomoji import KAOMOJI, shown_tag, underscored
from bot.rules.captions.photo_face import DROPPED, RENAMED, photographed
from bot.rules.captions.tagging import TagOptions, caption_tags

SEEN = ["1girl", "solo", "long hair", "smile", "^_^"]


def tags(general=SEEN, names=(), rating="general", **options):
    return caption_tags(general, names, rating, TagOptions(model="", **options))


def test_without_options_the_tags_are_what_was_seen():
    assert tags() == SEEN


def test_undesired_tags_are_left_out_in_either_spelling_and_before_or_after_a_replacement():
    assert tags(undesired=("Long_Hair", "solo")) == ["1girl", "smile", "^_^"]
    assert tags(undesired=("grin",), replacements=(("smile", "grin"),)) == ["1girl", "solo", "long hair", "^_^"]


def test_replacements_replace_one_tag_each():
    """In kohya's script they do nothing, or turn every tag into the target."""
    assert tags(["1girl"], replacements=(("solo", "alone"),)) == ["1girl"]
    assert tags(replacements=(("solo", "alone"), ("alone", "lonely"), ("smile", ""))) == [
        *("1girl", "alone", "long hair", "^_^"),
    ]


def test_what_becomes_equal_is_written_once():
    assert tags(replacements=(("solo", "smile"),)) == ["1girl", "smile", "long hair", "^_^"]


def test_first_tags_stand_first_in_the_given_order_where_they_are_seen():
    assert tags(first=("smile", "hat", "long_hair")) == ["smile", "long hair", "1girl", "solo", "^_^"]


def test_characters_are_kept_left_out_or_taken_apart():
    names = ["captain copper", "lisa (some series)", "x_x"]
    assert tags([], names) == names
    assert tags([], names, characters="leave-out") == []
    assert tags([], names, characters="expand") == ["captain copper", "lisa", "some series", "x_x"]


@pytest.mark.parametrize(
    ("where", "found"), [("no", ["smile"]), ("first", ["general", "smile"]), ("last", ["smile", "general"])]
)
def test_the_rating_stands_where_it_is_wanted(where, found):
    assert tags(["smile"], ratings=where) == found


def test_underscores_come_back_but_for_faces():
    assert tags(["long hair", "^_^"], underscores=True, replacements=(("smile", "a b"),)) == ["long_hair", "^_^"]
    assert len(KAOMOJI) == 19
    assert all(shown_tag(face) == face == underscored(face) for face in KAOMOJI)


def test_the_photo_profile_renames_and_drops():
    seen = ["1girl", "solo", "realistic", "blurry background", "blue eyes", "brown hair", "lips", "dark skin", "mole"]
    assert tags(seen, profile="photo-face") == ["woman", "photo", "brown hair"]
    assert tags(seen, profile="plain") == seen


def test_a_members_replacement_goes_before_the_profile():
    assert tags(["lips", "1girl"], profile="photo-face", replacements=(("lips", "red lipstick"),)) == [
        *("red lipstick", "woman"),
    ]


@pytest.mark.parametrize(
    "tag",
    [
        *("large breasts", "medium breasts", "thick thighs", "wide hips", "muscular male", "abs", "navel", "plump"),
        *("dark-skinned female", "dark skin", "pale skin", "tan", "tanlines", "freckles", "mole under mouth", "scar"),
        *("scar on face", "wrinkled skin", "mature female", "old man", "old woman", "child", "male child", "aged up"),
        *("teenage", "topless male", "nude", "completely nude", "bare shoulders", "bare arms", "collarbone"),
        *("flat chest", "chest hair", "shiny skin", "arm tattoo", "blush", "height difference", "light blue eyes"),
        *("age difference", "young", "baby", "very dark skin", "body markings", "nose", "teeth", "thick eyelashes"),
        *("pregnant", "thigh gap", "narrow waist", "long legs", "legs", "hip bones", "hip focus", "thigh focus"),
        *("shoulder blades", "broad shoulders", "bust", "linea alba", "median furrow", "dimples of venus", "lactation"),
        *("sweat", "sunburn", "rosy cheeks", "bruise", "bruise on face", "bags under eyes", "kid", "little girl"),
        *("grandmother", "underweight", "sex", "sex from behind", "hetero", "spread legs", "long neck", "thigh"),
        *("very long legs", "hips", "thighs", "stomach", "cleft chin", "bare hips", "hand between breasts"),
    ],
)
def test_nothing_of_body_skin_or_age_is_written(tag):
    assert photographed(tag) == ""


@pytest.mark.parametrize(
    "tag",
    [
        *("smile", "long hair", "beard", "glasses", "closed eyes", "half-closed eyes", "looking at viewer", "hat"),
        *("outdoors", "arms behind back", "hand on own cheek", "upper body", "portrait", "black shirt", "thighhighs"),
        *("thigh boots", "thigh strap", "leg warmers", "hip bag", "hip vent", "shoulder bag", "shoulder armor"),
        *("waist apron", "off shoulder", "off-shoulder dress", "high-waist skirt", "shoulder-length hair", "sweater"),
        *("hand on own hip", "hands on own hips", "crossed legs", "legs apart", "leg up", "looking over shoulder"),
        *(
            "jacket around waist",
            "on stomach",
            "hand on own cheek",
            "standing on one leg",
            "neck ribbon",
            "puffy cheeks",
        ),
        *("white background", "brick wall", "cowboy shot", "scarf", "tank top", "golden hour", "bag", "grin"),
    ],
)
def test_hair_clothes_expression_pose_and_place_stay(tag):
    assert photographed(tag) == tag


def test_the_profile_never_renames_to_what_it_drops():
    assert all(photographed(new) == new for new in RENAMED.values())
    assert not DROPPED & set(RENAMED)
