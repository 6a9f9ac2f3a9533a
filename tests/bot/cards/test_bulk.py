"""Cards and forms of bulk editing: Discord's limits at their worst, harmless words, few enough buttons."""

import dataclasses

import discord
import pytest

from bot.cards import bulk, bulk_forms, tag_options
from bot.cards.captions import BatchPage, batch_card
from bot.cards.picture_tags import picture_tags_card
from bot.errors import Refused
from bot.rules.bulk.operations import Change
from bot.rules.bulk.selection import written_numbers
from bot.rules.captions import tag_words
from bot.rules.captions.tagging import TagOptions
from bot.services.bulk.edits import CaptionSet, Offer, Undone
from bot.services.dataset.captions import PageView
from bot.store.caption_edits import Past
from bot.store.rows import CaptionEdit
from tests.bot.cards.test_datasets import DATASET, PICTURE, WORST, check_limits

PREFIX = f"{DATASET.trigger}, {DATASET.class_word}"
LONG = ", ".join(f"{'_*' * 45}{number:03}" for number in range(9))
TAGS = ", ".join(f"t{number}" for number in range(150))
PICTURES = tuple(
    dataclasses.replace(PICTURE, id=2**53 + number, caption=f"{PREFIX}, {LONG if number % 2 else TAGS}")
    for number in range(100)
)
NOW = CaptionSet(DATASET, PICTURES)
EDIT = CaptionEdit(
    id=2**53,
    dataset_id=2**53,
    user_id=2**63,
    title=(WORST * 9)[:200],
    operation="",
    mark="",
    notes='["%s"]' % ("n" * 900),
    offered_at=0.0,
    applied_at=1.0,
    undone_at=1.0,
    undone_by=2**63,
)
CHANGES = tuple(Change(each.id, 100, each.caption, f"{PREFIX}, {WORST}") for each in PICTURES)
OPTIONS = TagOptions(
    model=WORST,
    undesired=(WORST,) * 30,
    replacements=((WORST, WORST),) * 30,
    first=(WORST,) * 30,
)


def test_the_worst_cards_stay_within_discords_limits():
    tag = NOW.counts[0]
    long_tag = next(each for each in NOW.counts if "_*" in each.tag)
    offer = Offer(EDIT, DATASET, CHANGES, 100)
    for drawing in (
        bulk.tags_card(NOW, 0),
        bulk.tags_card(NOW, 10**6),
        bulk.tags_card(CaptionSet(DATASET, ()), 0),
        bulk.tag_card(NOW, long_tag, {each.id for each in PICTURES}),
        bulk.pictures_card(NOW, long_tag, 0, [(100, each, b"") for each in PICTURES[:4]], 100),
        bulk.common_card(CaptionSet(DATASET, (PICTURES[1],) * 9)),
        bulk.common_card(NOW),
        bulk.offer_card(offer, 3, "said " * 20),
        bulk.done_card(offer),
        bulk.undone_card(Undone(2**53, EDIT.title, 100, 100)),
        bulk.history_card(
            2**53,
            [Past(EDIT, 100), *(Past(dataclasses.replace(EDIT, undone_at=None, id=each), 9) for each in range(4))],
            0,
            50,
        ),
        bulk.history_card(2**53, [], 0, 0),
        picture_tags_card(NOW, PICTURES[0]),
        picture_tags_card(NOW, PICTURES[1]),
        tag_options.options_card(DATASET, OPTIONS, WORST),
        batch_card(BatchPage(2**53, PageView(DATASET, PICTURE, 9, 90, 99, (), 9, 9), (), b"")),
        batch_card(BatchPage(2**53, PageView(DATASET, PICTURE, 0, 9, 99, (), 9, 0, "uncaptioned"), (), b"")),
    ):
        check_limits(drawing.view)
        check_selects(drawing.view)
        shown = "\n".join(item.content for item in drawing.view.walk_children() if hasattr(item, "content"))
        assert "@everyone" not in shown.replace("@\u200beveryone", "")
    card = bulk.tag_card(NOW, tag, ())
    assert card.marker in str(card.view.to_components())


def check_selects(view):
    for item in view.walk_children():
        if isinstance(item, discord.ui.Select):
            assert 1 <= len(item.options) <= 25
            assert len({option.value for option in item.options}) == len(item.options)
            assert all(1 <= len(option.label) <= 100 and 1 <= len(option.value) <= 100 for option in item.options)
            assert all(len(option.description or "") <= 100 for option in item.options)
            assert 0 <= item.min_values <= item.max_values <= len(item.options)


def test_the_worst_forms_stay_within_discords_limits():
    tag = next(each for each in NOW.counts if "_*" in each.tag)
    models = [f"{'m' * 90}{number}" for number in range(30)]
    for form in (
        bulk_forms.add_form(2**53, written_numbers(range(1, 1000, 2))),
        bulk_forms.replace_form(2**53),
        bulk_forms.rename_form(2**53, tag),
        bulk_forms.recaption_form(2**53),
        bulk_forms.import_form(2**53),
        bulk_forms.jump_form(2**53),
        tag_options.words_form(2**53, OPTIONS),
        tag_options.model_form(2**53, OPTIONS, models, "host/" + "h" * 200),
    ):
        assert len(form.title) <= 45
        assert len(form.custom_id) <= 100
        labels = list(form.children)
        assert 1 <= len(labels) <= 5
        for label in labels:
            assert len(label.text) <= 45
            assert len(label.description or "") <= 100
        check_selects(form)
        form.to_dict()


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("0.35, 0.85", {"mcut": False, "general": 0.35, "character": 0.85}),
        ("0,35, 0,85", {"mcut": False, "general": 0.35, "character": 0.85}),
        ("0.4", {"mcut": False, "general": 0.4, "character": 0.4}),
        (".5 1", {"mcut": False, "general": 0.5, "character": 1.0}),
        ("0.5,1", {"mcut": False, "general": 0.5, "character": 1.0}),
        ("0.35,0.85", {"mcut": False, "general": 0.35, "character": 0.85}),
        ("0,35;0,85", {"mcut": False, "general": 0.35, "character": 0.85}),
        ("0,35", {"mcut": False, "general": 0.35, "character": 0.35}),
        ("1, 0", {"mcut": False, "general": 1.0, "character": 0.0}),
        (" Auto ", {"mcut": True}),
    ],
)
def test_thresholds_are_read_as_people_write_them(typed, found):
    assert tag_words.parsed_cut(typed) == found


@pytest.mark.parametrize("typed", ["", "x", "1.5", "0.1 0.2 0.3", "35 85", "-0.5", "0,35,0,85", "0.5x", "1,5"])
def test_other_thresholds_are_refused(typed):
    with pytest.raises(Refused, match="from 0 to 1"):
        tag_words.parsed_cut(typed)


def test_words_are_read_as_people_write_them():
    assert tag_words.parsed_tags(" Smile,, long  hair\nsmile ，hat") == ("Smile", "long hair", "smile", "hat")
    typed = "specs -> glasses\n a→b \n c => \n\nx=y"
    assert tag_words.parsed_replacements(typed) == (("specs", "glasses"), ("a", "b"), ("c", ""), ("x", "y"))
    faces = ((";d", "wink"), ("=_=", "tired"), ("x", ";)"), (">_<", "=_="), ("->", "arrow"))
    typed = ";d -> wink\n=_= -> tired\nx → ;)\n>_<->=_=\n-> -> arrow"
    assert tag_words.parsed_replacements(typed) == faces
    for wrong in ("specs", "-> x", "a, b -> c", "=_="):
        with pytest.raises(Refused, match="one replacement a line"):
            tag_words.parsed_replacements(wrong)


def test_sending_the_words_form_as_it_is_changes_nothing_of_lists_too_long_for_it():
    many = tuple(f"some tag {number}" for number in range(400))
    options = TagOptions(
        model="", undesired=many, replacements=((";d", ""), *((tag, "x") for tag in many)), first=("a",)
    )
    shown = tag_options.shown_words(options)
    fields = [label.component.default for label in tag_options.words_form(1, options).children]
    assert all(3900 < len(field) <= 4000 for field in fields[:2])
    assert (tag_words.parsed_tags(fields[0]), tag_words.parsed_replacements(fields[1])) == shown[:2]
    assert (tag_words.parsed_tags(fields[2]), shown[2]) == (("a",), ("a",))
    assert [200 < len(each) < len(many) for each in shown[:2]] == [True, True]
