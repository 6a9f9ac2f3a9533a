"""What is said of a dataset as a whole."""

from bot.rules.pictures.quality import Level, Twin, faces_seen, verdict
from bot.rules.pictures.report import Seen, advice, groups, mended, ranges
from tests.bot.rules.test_quality import face, measures


def seen(number: int, kind="person", measured=None, has_trigger=True, size=(1200, 1500), twins=()) -> Seen:
    known = measured or measures(palette=colours(number))
    return Seen(number + 100, number, verdict(kind, *size, known, twins), known, has_trigger)


def colours(number: int) -> tuple[float, ...]:
    return tuple(float(place == number % 27) for place in range(27))


def many(count: int, **more) -> list[Seen]:
    heights = (0.15, 0.3, 0.5)
    return [
        seen(n, measured=measures(palette=colours(n), faces=(face(0.3, 0.2, 0.2, heights[n % 3]),)), **more)
        for n in range(1, count + 1)
    ]


def test_nothing_is_said_of_a_good_dataset():
    assert advice("person", many(50), 5) == []
    assert groups(many(50)) == []


def test_too_few_count_without_the_red_ones():
    pictures = [*many(18), seen(19, measured=measures(faces=())), seen(20, measured=measures(faces=()))]
    assert advice("person", pictures, 5)[0] == "Add pictures: 18 of at least 20 are usable; 50 to 100 are best."
    assert advice("person", many(25), 5) == ["25 usable pictures will do; 50 to 100 give a better likeness."]


def test_a_number_that_does_not_fill_batches():
    assert advice("person", many(52), 5) == ["52 is no multiple of the batch of 5: 3 more, or 2 less."]
    assert advice("person", many(52), 1) == []


def test_captions_without_the_trigger_are_named():
    pictures = [*many(49), seen(50, has_trigger=False)]
    assert advice("person", pictures, 5) == ["The captions of 50 lack the trigger word."]


def test_one_framing_for_all_is_told_of_persons_only():
    pictures = [seen(n, measured=measures(palette=colours(n), faces=(face(0.2, 0.1, 0.5, 0.6),))) for n in range(1, 51)]
    assert advice("person", pictures, 5) == ["50 of 50 are close-ups: add some half-length or whole figures."]
    assert advice("object", pictures, 5) == []


def test_where_no_face_is_found_at_all_none_is_missed():
    blind = [measures(palette=colours(n), faces=()) for n in range(50)]
    assert not faces_seen(blind)
    assert faces_seen(blind[:4])
    assert verdict("person", 1200, 1500, blind[0], faces_seen=False).level is Level.AMBER
    pictures = [seen(n, measured=known) for n, known in enumerate(blind, 1)]
    assert "drawings fit" in " ".join(advice("person", pictures, 5))
    assert "drawings fit" not in " ".join(advice("object", pictures, 5))


def test_one_background_for_all_is_told():
    pictures = [seen(n, "object", measures(palette=colours(n if n > 40 else 0))) for n in range(1, 51)]
    assert advice("object", pictures, 5) == ["40 of 50 have much the same background, which is learned too: vary it."]
    assert advice("object", pictures[:5], 5) == ["Add pictures: 5 of at least 20 are usable; 50 to 100 are best."]


def test_findings_are_grouped_the_gravest_and_commonest_first():
    pictures = [
        seen(1, size=(700, 700)),
        seen(2, measured=measures(faces=())),
        seen(3, measured=measures(faces=()), size=(700, 700)),
        seen(4, twins=[Twin(1, 0.99, True, True)]),
    ]
    found = [(int(group.level), group.numbers, group.short) for group in groups(pictures)]
    assert found == [
        (2, ("2", "3"), "no face"),
        (2, ("4 (= 1, mirrored)",), "the same picture twice"),
        (1, ("1", "3"), "acceptable size"),
    ]


def test_what_squares_mend_is_named():
    good, bad = (seen(n, measured=measures(faces=faces)) for n, faces in ((1, (face(0.3, 0.2, 0.3, 0.4),)), (1, ())))
    assert mended([bad], [good]) == [1]
    assert mended([bad], [bad]) == mended([good], [bad]) == mended([good], [good]) == []


def test_all_numbers_are_told_in_few_words():
    assert ranges([]) == ""
    assert ranges([3, 7, 8, 9, 11, 12]) == "3, 7-9, 11-12"
