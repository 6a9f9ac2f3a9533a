"""Files of captions, numbers of pictures, and diffs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Refused
from bot.rules.bulk.diff import pieces
from bot.rules.bulk.exchange import Named, member_name, one_text, read_members, read_text
from bot.rules.bulk.selection import chosen_numbers, written_numbers
from bot.rules.captions.caption import clean_caption

PICTURES = [
    Named(11, 1, "aaaaaaaaaa", "IMG_1.jpg", "lisaxl, woman, smile"),
    Named(12, 2, "bbbbbbbbbb", "IMG_2.jpg", "lisaxl, woman, She sits."),
    Named(13, 3, "cccccccccc", "image.jpg", "lisaxl, woman"),
    Named(14, 4, "dddddddddd", "Image.png", "lisaxl, woman"),
]


def test_what_goes_out_comes_back():
    captions = {each.picture_id: each.caption for each in PICTURES}
    assert read_text(one_text(PICTURES), PICTURES).texts == captions
    assert read_members([(member_name(each), each.caption) for each in PICTURES], PICTURES).texts == captions


def test_lines_may_be_wrapped_left_out_and_put_in_another_order():
    text = "\ufeff# 2 bbbbbbbbbb\r\nShe sits,\r\n\r\nreading.\r\n# 1 aaaaaaaaaa IMG\r\n"
    assert read_text(text, PICTURES).texts == {12: "She sits,\nreading.", 11: ""}


def test_a_text_of_something_else_names_what_it_is():
    assert read_text("hello", PICTURES).texts == {}
    read = read_text("hello\n# 9 eeeeeeeeee x\nsmile", PICTURES)
    assert read.texts == {}
    assert len(read.notes) == 2
    assert "not in this dataset" in read.notes[1]


def test_files_from_elsewhere_are_found_by_their_pictures_name():
    members = [("img/10_lisa/img_1.TXT", "hat"), ("image.txt", "x"), ("other.txt", "y")]
    read = read_members(members, PICTURES)
    assert read.texts == {11: "hat"}
    assert ["may belong to 2 pictures" in read.notes[0], "belongs to no picture" in read.notes[1]] == [True, True]


def test_a_second_caption_for_a_picture_is_not_passed_over_in_silence():
    read = read_members([("a/img_1.txt", "one"), ("b/img_1.txt", "two")], PICTURES)
    assert read.texts == {11: "one"}
    assert read.notes == ("`b/img_1.txt` is a second file for picture 1 and was left out.",)
    read = read_text("# 1 aaaaaaaaaa\none\n# 1 aaaaaaaaaa\ntwo", PICTURES)
    assert (read.texts, len(read.notes)) == ({11: "two"}, 1)


def test_a_file_with_one_tag_a_line_keeps_its_tags_apart():
    text = "smile\r\nred hat\r\n\r\nblue eyes\r\n"
    for read in (read_members([("img_1.txt", text)], PICTURES), read_text("# 1 aaaaaaaaaa x\n" + text, PICTURES)):
        assert clean_caption(read.texts[11], "lisaxl", "woman") == "lisaxl, woman, smile, red hat, blue eyes"


def test_member_names_are_plain():
    assert member_name(Named(1, 7, "aaaaaaaaaa", "../../Ünï .. cøde*?.jpg", "")) == "007-aaaaaaaaaa-uni_cde.txt"
    assert member_name(Named(1, 7, "aaaaaaaaaa", "写真.jpg", "")) == "007-aaaaaaaaaa.txt"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", None),
        (" all ", None),
        ("3", [3]),
        ("1-3, 8", [1, 2, 3, 8]),
        ("#2 #4 6", [2, 4, 6]),
        ("1–2; 2\n9", [1, 2, 9]),
        ("1 - 3", [1, 2, 3]),
    ],
)
def test_numbers_are_read(text, numbers):
    assert chosen_numbers(text, 10) == numbers


@pytest.mark.parametrize("text", ["0", "11", "3-1", "x", "1-", "--", "1,,x", "99999999999"])
def test_what_is_no_number_here_is_refused(text):
    with pytest.raises(Refused):
        chosen_numbers(text, 10)


@given(st.lists(st.integers(1, 50), min_size=1, unique=True))
def test_written_numbers_are_read_again(numbers):
    assert chosen_numbers(written_numbers(numbers), 50) == sorted(numbers)


def test_a_diff_shows_what_went_and_came_with_some_words_around():
    before = "lisaxl, woman, a, b, c, d, e, f, smile, g"
    found = pieces(before, before.replace("smile", "grin"))
    assert [(each.kind, each.text.strip()) for each in found] == [
        *(("same", "f,"), ("gone", "smile"), ("new", "grin"), ("same", ", g")),
    ]
    assert [each.kind for each in pieces("a, b", "a")] == ["same", "gone"]


@given(st.text("ab ,.", max_size=30), st.text("ab ,.", max_size=30))
def test_any_two_texts_have_a_diff(before, after):
    assert all(each.kind == "same" for each in pieces(before, after)) == (before == after)
