"""Who may do what: the table, and that every service asks it."""

import asyncio
import inspect

import pytest

from bot.errors import NotFound, NotYours, Refused
from bot.rules.access import MAY, refusal, role_of
from bot.rules.bulk.operations import RemoveTags
from bot.rules.consent import ATTESTATION, HELPING, SHARING, merge_refusal
from bot.services.bulk.all import Bulk
from bot.services.bulk.edits import BulkEdits
from bot.services.bulk.looks import Looks
from bot.services.dataset.arrange import Arrange
from bot.services.dataset.crops import Crops
from bot.services.dataset.desk import Desk
from bot.services.dataset.quality import Quality
from bot.services.dataset.sharing import Sharing
from bot.services.dataset.tag_options import TagSettings
from bot.services.intake.posts import Posts
from bot.services.intake.unpack import Unpack
from bot.services.upkeep.under_way import UnderWay
from bot.store.rows import Helper
from bot.vision.sheets.painter import Painter
from bot.vision.tagging.tagger import Tagger
from bot.vision.zips.unzip import Unzipper
from tests.bot.conftest import make_picture
from tests.bot.services.conftest import OTHER, OWNER, incoming, rows

HELPER, ASKED = 13, 14
OWNERS_ALONE = {"owner"}
WORKERS = {"owner", "helper"}


def test_every_role_has_a_sentence_for_what_it_may_not():
    for role, deeds in MAY.items():
        for deed in ("see", "add", "edit", "manage"):
            assert bool(refusal(role, deed)) == (deed not in deeds)


async def test_a_row_of_another_dataset_or_member_helps_nobody(dataset):
    assert role_of(dataset, OWNER, None) == "owner"
    assert role_of(dataset, HELPER, Helper(dataset.id, HELPER, "active", 0.0)) == "helper"
    assert role_of(dataset, HELPER, Helper(dataset.id, HELPER, "asked", 0.0)) == "asked"
    for wrong in (Helper(dataset.id + 1, HELPER, "active", 0.0), Helper(dataset.id, ASKED, "active", 0.0), None):
        assert role_of(dataset, HELPER, wrong) == "stranger"


@pytest.mark.parametrize(("one", "other"), [("person", "style"), ("character", "person")])
def test_a_persons_pictures_and_others_are_never_merged(one, other):
    assert merge_refusal(one, other)
    assert not merge_refusal(one, one)


@pytest.fixture
def sharing(store) -> Sharing:
    return Sharing(store, lambda: None, lambda: 3000.0)


@pytest.fixture
def arrange(store, files, config) -> Arrange:
    return Arrange(store, files, config.intake, lambda: None, lambda: None, lambda: 4000.0)


@pytest.fixture
def desk(store, intake, captions, files, config) -> Desk:
    unpack = Unpack(intake, Unzipper(config.intake.max_file_bytes), config.intake)
    posts = Posts(store, intake, unpack, lambda: None, lambda: None)
    quality = Quality(store, files, config, Painter())
    return Desk(store, intake, captions, quality, posts, config.intake, lambda: None)


@pytest.fixture
async def people(datasets, asked, sharing):
    """A person's dataset with an owner, a helper who agreed, and one who was asked."""
    made = await datasets.create(asked(kind="person"))
    await datasets.give_consent(made.id, OWNER)
    for user in (HELPER, ASKED):
        await sharing.invite(made.id, OWNER, user, SHARING)
    await sharing.agree(made.id, HELPER)
    return made


WHO = {"owner": OWNER, "helper": HELPER, "asked": ASKED, "stranger": OTHER}


async def ask_each(calls):
    """Each call by each role; what is wrong with the call itself (Refused, NotFound) is no matter of who it is."""
    for name, (allowed, call) in calls.items():
        for role, user in sorted(WHO.items(), key=lambda pair: pair[0]):
            try:
                await call(user)
                went = True
            except NotYours:
                went = False
            except (Refused, NotFound):
                went = True
            assert went == (role in allowed), f"{name} by {role}"


@pytest.fixture
def quality(store, files, config) -> Quality:
    return Quality(store, files, config, Painter(), lambda: 5000.0)


@pytest.fixture
def crops(store, files, config) -> Crops:
    return Crops(store, files, config, Painter())


@pytest.fixture
def bulk(store, files, config) -> Bulk:
    return Bulk.build(store, files, Tagger(config.tagger), config.tagger, lambda: 5000.0)


async def test_checks_squares_and_bulk_edits_ask_who_it_is(people, intake, captions, quality, crops, bulk):
    """The services of the report and of bulk editing: helpers may do all of it, others nothing."""
    picture = (await intake.add(people.id, OWNER, "m", [incoming("a.jpg", make_picture())])).added[0]
    await captions.edit(picture.id, OWNER, "hat", 0)
    offer = await bulk.edits.offer(people.id, OWNER, RemoveTags(tags=("hat",)))
    await ask_each(
        {
            "check": (WORKERS, lambda who: quality.check(people.id, who)),
            "turn": (WORKERS, lambda who: quality.turn(people.id, who, 0)),
            "drop red": (WORKERS, lambda who: quality.drop_red(people.id, who, "")),
            "drop chosen": (WORKERS, lambda who: quality.drop_chosen(people.id, who, {99})),
            "undo drop": (WORKERS, lambda who: quality.undo(people.id, who)),
            "squares": (WORKERS, lambda who: crops.all(people.id, who)),
            "square": (WORKERS, lambda who: crops.one(picture.id, who)),
            "move": (WORKERS, lambda who: crops.move(picture.id, who, "closer")),
            "reset": (WORKERS, lambda who: crops.reset(picture.id, who)),
            "use": (WORKERS, lambda who: crops.use(people.id, who, square=True)),
            "change tags": (WORKERS, lambda who: captions.change_tags(picture.id, who, 9, (), ())),
            "captions": (WORKERS, lambda who: bulk.edits.captions(people.id, who)),
            "offer": (WORKERS, lambda who: bulk.edits.offer(people.id, who, RemoveTags(tags=("hat",)))),
            "look": (WORKERS, lambda who: bulk.edits.look(offer.edit.id, who)),
            "apply": (WORKERS, lambda who: bulk.edits.apply(offer.edit.id, who)),
            "undo": (WORKERS, lambda who: bulk.edits.undo(offer.edit.id, who)),
            "history": (WORKERS, lambda who: bulk.edits.history(people.id, who, 9)),
            "re-caption": (WORKERS, lambda who: bulk.looks.begin(people.id, who, "fill", (99,), UnderWay())),
            "how far": (WORKERS, lambda who: bulk.looks.seen(people.id, who)),
            "stop": (WORKERS, lambda who: bulk.looks.stop(people.id, who)),
            "options as they are": (WORKERS, lambda who: bulk.settings.of(people.id, who)),
            "options": (WORKERS, lambda who: bulk.settings.change(people.id, who, mcut=True)),
            "usual options": (WORKERS, lambda who: bulk.settings.reset(people.id, who)),
            "export": (WORKERS, lambda who: bulk.files.export(people.id, who, "text")),
        }
    )
    await bulk.looks.close()
    for role in ("asked", "stranger"):
        with pytest.raises(NotYours):
            await quality.drop_one(picture.id, WHO[role])
    await quality.drop_one(picture.id, HELPER)
    for role in ("asked", "stranger"):
        with pytest.raises(NotYours):
            await quality.undo(people.id, WHO[role], picture_id=picture.id)
    assert await quality.undo(people.id, HELPER, picture_id=picture.id) == (1, 0)


async def test_what_was_put_away_is_seen_and_not_changed(people, arrange, quality, crops, bulk):
    await arrange.put_away(people.id, OWNER, away=True)
    assert (await bulk.edits.captions(people.id, HELPER)).pictures == ()
    await bulk.edits.history(people.id, HELPER, 9)
    for call in (
        lambda: bulk.settings.reset(people.id, OWNER),
        lambda: bulk.edits.offer(people.id, OWNER, RemoveTags(tags=("hat",))),
        lambda: quality.undo(people.id, OWNER),
        lambda: crops.use(people.id, OWNER, square=True),
    ):
        with pytest.raises(Refused, match="put away"):
            await call()


async def test_every_call_asks_who_it_is(people, intake, captions, datasets, sharing, arrange, desk, asked):
    """Each call that takes a member, by each role; `None` stands for: went through."""
    report = await intake.add(people.id, OWNER, "m", [incoming("a.jpg", make_picture())])
    other = await datasets.create(asked(name="Other", trigger="otherxl"))
    picture = report.added[0]
    calls = {
        "see": (WORKERS, lambda who: desk.sheet(people.id, who)),
        "picture": (WORKERS, lambda who: desk.picture(people.id, who, picture.id)),
        "add": (WORKERS, lambda who: intake.add(people.id, who, f"m{who}", [incoming("b.jpg", make_picture(seed=1))])),
        "add more": (WORKERS, lambda who: intake.add_more(people.id, who, "p", [incoming("c.jpg", make_picture())])),
        "desk add": (WORKERS, lambda who: desk.add(people.id, who, "p", incoming("d.jpg", make_picture(seed=2)))),
        "archive": (WORKERS, lambda who: desk.add_archive(people.id, who, "z", incoming("e.zip", b"no archive"))),
        "rename": (OWNERS_ALONE, lambda who: arrange.rename(people.id, who, "New")),
        "put away": (OWNERS_ALONE, lambda who: arrange.put_away(people.id, who, away=False)),
        "plan copy": (OWNERS_ALONE, lambda who: arrange.plan_copy(people.id, who)),
        "plan delete": (OWNERS_ALONE, lambda who: datasets.plan_delete(people.id, who)),
        "invite": (OWNERS_ALONE, lambda who: sharing.invite(people.id, who, 99, SHARING)),
        "take out": (OWNERS_ALONE, lambda who: sharing.remove(people.id, who, 99)),
        "consent": (OWNERS_ALONE, lambda who: datasets.give_consent(people.id, who)),
    }
    await ask_each(calls)
    assert (await sharing.asked(people.id, WHO["asked"])).id == people.id
    for role in ("owner", "helper", "stranger"):
        with pytest.raises(Refused):
            await sharing.asked(people.id, WHO[role])
    for role in ("asked", "helper", "stranger"):
        for source, target in ((people.id, other.id), (other.id, people.id)):
            with pytest.raises(NotYours):
                await arrange.plan_merge(target, source, WHO[role])
    revision = 0
    for role in ("asked", "stranger", "helper", "owner"):
        if role in WORKERS:
            revision = (await captions.edit(picture.id, WHO[role], role, revision)).revision
        else:
            with pytest.raises(NotYours):
                await captions.edit(picture.id, WHO[role], role, revision)
            with pytest.raises(NotYours):
                await captions.remove(picture.id, WHO[role])
    await captions.remove(picture.id, HELPER)


def test_no_call_that_takes_a_member_is_forgotten():
    """A new public call of these services belongs into the test above."""
    known = {
        Desk: {"sheet", "may_add", "add", "add_archive", "picture", "edit", "remove"},
        Arrange: {"rename", "put_away", "plan_copy", "copy", "plan_merge", "merge"},
        Sharing: {"circle", "invite", "asked", "agree", "remove"},
        Quality: {"look", "sheet", "check", "turn", "drop_red", "drop_chosen", "drop_one", "undo"},
        Crops: {"all", "one", "move", "reset", "use", "sheet", "pair"},
        Looks: {"begin", "seen", "stop", "close"},
        BulkEdits: {"captions", "offer", "look", "apply", "undo", "history"},
        TagSettings: {"of", "change", "reset"},
    }
    for service, names in known.items():
        assert {name for name, _ in inspect.getmembers(service, inspect.isfunction) if name[0] != "_"} == names


async def test_consent_of_a_helper_is_kept_from_both_sides(people, store, sharing):
    kept = await rows(store, "SELECT user_id, text_version, text_sha256 FROM consent ORDER BY id")
    assert (HELPER, HELPING.version, HELPING.sha256) in kept
    assert [row for row in kept if row[:2] == (OWNER, SHARING.version)] == [
        (OWNER, SHARING.version, SHARING.sha256),
        (OWNER, SHARING.version, SHARING.sha256),
    ]
    with pytest.raises(Refused, match="after you have confirmed"):
        await sharing.invite(people.id, OWNER, 99)


async def test_a_copy_and_a_merge_of_a_person_need_consent_anew(
    people, arrange, datasets, asked, store, intake, sharing
):
    await intake.add(people.id, OWNER, "m", [incoming("a.jpg", make_picture())])
    with pytest.raises(Refused, match="needs your confirmation"):
        await arrange.copy(people.id, OWNER)
    copy = await arrange.copy(people.id, OWNER, ATTESTATION)
    assert copy.kind == "person"
    assert await rows(store, "SELECT user_id FROM helper WHERE dataset_id = ?", copy.id) == []
    other = await datasets.create(asked(name="Other", kind="person"))
    await datasets.give_consent(other.id, OWNER)
    await intake.add(other.id, OWNER, "m", [incoming("b.jpg", make_picture(seed=3))])
    async with store.transaction() as tx:
        await tx.execute("UPDATE picture SET tagged = 1")
    with pytest.raises(Refused, match="whom you did not let see"):
        await arrange.merge(people.id, other.id, OWNER, ATTESTATION)
    for user in (HELPER, ASKED):
        await sharing.remove(people.id, OWNER, user)
    with pytest.raises(Refused, match="needs your confirmation"):
        await arrange.merge(people.id, other.id, OWNER)
    assert (await arrange.merge(people.id, other.id, OWNER, ATTESTATION)).moving == 1


async def test_a_merge_renames_only_the_trigger_word_and_cuts_nothing(arrange, datasets, dataset, asked, store, intake):
    other = await datasets.create(asked(name="Rex", trigger="rex", class_word="dog"))
    for seed in (1, 2):
        await intake.add(other.id, OWNER, f"m{seed}", [incoming(f"{seed}.jpg", make_picture(seed=seed))])
    full = "rex, dog, " + "x" * 990
    async with store.transaction() as tx:
        await tx.execute("UPDATE picture SET tagged = 1, caption = 'rex, dog, t-rex toy, Rex, a dog and rex''s rex-o'")
        await tx.execute("UPDATE picture SET caption = ? WHERE id = 2", (full,))
    with pytest.raises(Refused, match=r"longer than 1,000 characters: 2\. Shorten"):
        await arrange.merge(dataset.id, other.id, OWNER)
    assert await rows(store, "SELECT dataset_id, caption FROM picture WHERE id = 2") == [(other.id, full)]
    async with store.transaction() as tx:
        await tx.execute("UPDATE picture SET caption = 'rex, dog' WHERE id = 2")
    await arrange.merge(dataset.id, other.id, OWNER)
    assert await rows(store, "SELECT caption FROM picture ORDER BY id") == [
        ("lisaxl, woman, t-rex toy, a dog and lisaxl's rex-o",),
        ("lisaxl, woman",),
    ]


async def test_a_merge_says_why_not(arrange, datasets, dataset, asked, intake, config):
    other = await datasets.create(asked(name="Other", trigger="otherxl"))
    with pytest.raises(Refused, match="this one is itself"):
        await arrange.plan_merge(dataset.id, dataset.id, OWNER)
    with pytest.raises(Refused, match="nothing to move"):
        await arrange.plan_merge(dataset.id, other.id, OWNER)
    await intake.add(other.id, OWNER, "m", [incoming("a.jpg", make_picture())])
    with pytest.raises(Refused, match="still being written"):
        await arrange.plan_merge(dataset.id, other.id, OWNER)


async def test_a_merge_that_does_not_fit_says_how_many_must_go(arrange, datasets, dataset, asked, intake, store):
    other = await datasets.create(asked(name="Other", trigger="otherxl"))
    for target, first in ((dataset, 0), (other, 20)):
        offered = [incoming(f"{seed}.jpg", make_picture(seed=seed)) for seed in range(first, first + 8)]
        await intake.add(target.id, OWNER, "m", offered)
    async with store.transaction() as tx:
        await tx.execute("UPDATE picture SET tagged = 1")
    with pytest.raises(Refused, match=r"Together they hold 16 pictures; 12 is the most. Remove 4 first."):
        await arrange.plan_merge(dataset.id, other.id, OWNER)


async def test_a_moved_caption_names_the_other_trigger(arrange, datasets, dataset, asked, intake, captions, store):
    other = await datasets.create(asked(name="Ink", trigger="inky", class_word="", kind="style"))
    report = await intake.add(other.id, OWNER, "m", [incoming("a.jpg", make_picture())])
    await captions.edit(report.added[0].id, OWNER, "a drawing in inky lines, Inky, hat", 0)
    await arrange.merge(dataset.id, other.id, OWNER)
    assert await rows(store, "SELECT caption, revision FROM picture") == [
        ("lisaxl, woman, a drawing in lisaxl lines, hat", 2)
    ]


async def test_two_copies_at_once_get_names_of_their_own(dataset, arrange):
    made = await asyncio.gather(*(arrange.copy(dataset.id, OWNER) for _ in range(2)))
    assert sorted(each.name for each in made) == ["Lisa copy", "Lisa copy 2"]
