"""What is told before Start: size, time, place, advice; and the prompts of the samples."""

import dataclasses

import pytest

from bot.cards.job import plan_card
from bot.errors import Refused
from bot.rules.jobs.plan import sample_prompts
from bot.store.quality import set_focus, write_measures
from tests.bot.jobs.lab import OTHER, OWNER
from tests.bot.rules.test_quality import measures
from trainer.contract.folder import JobFolder

LORA = b"weights"


def ids(card):
    return [item.custom_id for item in card.walk_children() if getattr(item, "custom_id", None)]


def said(card):
    return "\n".join(item.content for item in card.walk_children() if hasattr(item, "content"))


async def test_a_plan_tells_size_place_and_advice(lab):
    lab.serve()
    dataset = await lab.dataset(pictures=6)
    plan = await lab.services.jobs.training.plan(dataset.id, OWNER, "face", 0)
    assert (plan.estimate.steps, plan.estimate.checkpoints, plan.position) == (20, 2, 0)
    words = said(plan_card(plan, "face", "A face"))
    assert "**20 steps**" in words
    assert "known after the first steps" in words
    assert "few" in words
    assert "do not fill batches of 5" in words


async def test_a_batch_larger_than_the_dataset_is_made_smaller_in_words(lab):
    lab.serve()
    dataset = await lab.dataset(pictures=3)
    plan = await lab.services.jobs.training.plan(dataset.id, OWNER)
    assert plan.config.batch_size == 3
    assert "The batch is 3 instead of 5" in plan.notes[0]
    job = await lab.services.jobs.training.submit(dataset.id, OWNER)
    assert job.steps == 10
    assert job.preset == "face", "what fits a person"


async def test_pictures_held_back_are_not_counted_on(lab, monkeypatch):
    lab.serve()
    monkeypatch.setitem(lab.config.training.overrides, "validation_share", 0.2)
    dataset = await lab.dataset(pictures=5)
    plan = await lab.services.jobs.training.plan(dataset.id, OWNER)
    job = await lab.services.jobs.training.submit(dataset.id, OWNER)
    spec = JobFolder(lab.config.paths.jobs / job.id).spec()
    assert plan.config.batch_size == spec.config.batch_size == spec.images_per_epoch == 4
    assert plan.estimate.steps == job.steps
    lonely = await lab.dataset("alone", OTHER, pictures=1)
    with pytest.raises(Refused, match="one more picture"):
        await lab.services.jobs.training.plan(lonely.id, OTHER)


async def test_missing_triggers_and_tags_are_pointed_out(lab):
    dataset = await lab.dataset(pictures=5)
    async with lab.services.store.transaction() as tx:
        await tx.execute("UPDATE picture SET caption = 'a woman', tagged = 0 WHERE id <= 2")
    notes = " ".join((await lab.services.jobs.training.plan(dataset.id, OWNER)).notes)
    assert "2 captions lack the trigger word lisaxl" in notes
    assert "2 pictures have no tags yet" in notes


async def test_few_epochs_still_keep_a_checkpoint(lab):
    dataset = await lab.dataset()
    plan = await lab.services.jobs.training.plan(dataset.id, OWNER, "", 2)
    assert plan.config.checkpoint_every_epochs == 2
    assert plan.estimate.checkpoints == 1


@pytest.mark.parametrize(("preset", "epochs", "words"), [("faec", 0, "face"), ("face", 99_999, "epochs")])
async def test_what_cannot_be_planned_is_refused_in_words(lab, preset, epochs, words):
    dataset = await lab.dataset()
    with pytest.raises(Refused, match=words):
        await lab.services.jobs.training.plan(dataset.id, OWNER, preset, epochs)


async def test_a_finished_job_teaches_the_time(lab):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    attempt = trainer.claim()
    attempt.finish(10, LORA)
    log = lab.config.paths.jobs / job.id / "attempts/1/events.jsonl"
    lines = log.read_text().splitlines()
    for number, line in enumerate(lines):  # 30 s between events
        lines[number] = line.replace(line.split('"at":')[1].split(",")[0], str(1000.0 + 30 * number), 1)
    log.write_text("\n".join(lines) + "\n")
    await lab.turn()
    charged = (await lab.job(job.id)).gpu_seconds
    assert charged == 30.0 * (len(lines) - 1)
    dataset = await lab.dataset("other", OTHER)
    plan = await lab.services.jobs.training.plan(dataset.id, OTHER)
    assert plan.estimate.seconds == pytest.approx(charged)
    assert "about" in said(plan_card(plan, "face", "A face"))


async def test_the_place_counts_those_before(lab):
    lab.serve()
    first = await lab.submit("first", OTHER)
    await lab.turn()
    second = await lab.submit("second", OTHER)
    dataset = await lab.dataset()
    plan = await lab.services.jobs.training.plan(dataset.id, OWNER)
    assert plan.position == 2
    assert "Place in the queue: 2" in said(plan_card(plan, "face", "A face"))
    async with lab.services.store.transaction() as tx:
        line = await lab.services.jobs.queue.look(tx)
    assert [job.id for job in line.training] == [first.id]
    assert [place.job.id for place in line.waiting] == [second.id]
    assert "has a training running" in line.waiting[0].reason


async def test_prompts_show_the_subject_in_known_and_new_scenes(lab):
    dataset = await lab.dataset()
    captions = ["lisaxl, woman, smile", "lisaxl, woman, hat", "lisaxl, woman, hat"]
    prompts = sample_prompts(dataset, captions)
    assert len(prompts) == 4
    assert prompts[:2] == ("lisaxl, woman, smile", "lisaxl, woman, hat")
    assert all(prompt.startswith("lisaxl, woman") for prompt in prompts)
    assert prompts == sample_prompts(dataset, captions), "the same pictures give the same prompts"


async def test_brackets_of_a_caption_are_text_in_its_prompt(lab):
    dataset = dataclasses.replace(await lab.dataset(), class_word="sakura (tree)")
    prompts = sample_prompts(dataset, ["lisaxl, star (symbol)", "lisaxl, :("])
    assert prompts[:2] == (r"lisaxl, star \(symbol\)", r"lisaxl, :\(")
    assert all(prompt.startswith(r"lisaxl, sakura \(tree\), ") for prompt in prompts[2:])


@pytest.mark.parametrize("kind", ["person", "character", "style", "object"])
async def test_every_kind_has_prompts_and_none_is_empty(lab, kind):
    dataset = dataclasses.replace(await lab.dataset(), kind=kind, class_word="")
    for captions in (["lisaxl"], ["lisaxl", "lisaxl"], ["x" * 1000, "lisaxl"]):
        prompts = sample_prompts(dataset, captions)
        assert 2 < len(prompts) <= 4
        assert all(0 < len(prompt) <= 300 for prompt in prompts)
        assert len(set(prompts)) == len(prompts)


async def measure(lab, dataset, *known):
    """As if the dataset's first pictures were looked at, of 2000 × 1500 pixels all."""
    async with lab.services.store.transaction() as tx:
        await tx.execute("UPDATE picture SET width = 2000, height = 1500")
        found = await tx.execute_fetchall("SELECT file FROM picture WHERE dataset_id = ? ORDER BY id", (dataset.id,))
        for row, each in zip(found, known, strict=False):
            await write_measures(tx, row["file"], each)


async def test_a_preset_with_squares_says_so(lab):
    dataset = await lab.dataset(pictures=3)
    await measure(lab, dataset, measures(), measures(), None)
    plan = lab.services.jobs.training.plan
    assert "quares" not in " ".join((await plan(dataset.id, OWNER)).notes)
    words = said(plan_card(await plan(dataset.id, OWNER, "face-classic"), "face-classic", "Classic"))
    assert "This preset cuts pictures to squares around the face; the report judges their shapes" in words
    assert "Pictures that could not be measured: 1; their squares are in the middle." in words
    await lab.services.checks.crops.use(dataset.id, OWNER, square=True)
    notes = " ".join((await plan(dataset.id, OWNER)).notes)
    assert "Pictures are cut to squares around the face; *Squares* on the report shows and moves them." in notes
    assert "enlarged" not in notes
    await lab.services.checks.crops.use(dataset.id, OWNER, square=False)
    assert "quares" not in " ".join((await plan(dataset.id, OWNER, "face-classic")).notes), "what was said goes first"


async def test_a_host_of_squares_and_a_preset_of_shapes(lab, monkeypatch):
    dataset = await lab.dataset(pictures=3)
    monkeypatch.setattr(type(lab.config.training), "preset_for", lambda self, kind, chosen="": chosen or "face-classic")
    notes = (await lab.services.jobs.training.plan(dataset.id, OWNER, "face")).notes
    assert "This preset keeps the pictures' shapes; the report judges squares." in notes


async def test_squares_that_are_enlarged_are_counted(lab):
    dataset = await lab.dataset(pictures=3)
    await measure(lab, dataset, *[measures()] * 3)
    async with lab.services.store.transaction() as tx:
        await tx.execute("UPDATE picture SET width = 1000, height = 900 WHERE id > 1")
    notes = " ".join((await lab.services.jobs.training.plan(dataset.id, OWNER, "face-classic")).notes)
    assert "Squares under 1024 pixels: 2; they are enlarged to train." in notes


async def test_who_starts_before_pictures_were_looked_at_is_asked(lab):
    dataset = await lab.dataset(pictures=3)
    training = lab.services.jobs.training
    await measure(lab, dataset, measures())
    plan = await training.plan(dataset.id, OWNER, "face-classic", 4)
    assert plan.waiting == 2
    card = plan_card(plan, "face-classic", "Classic")
    assert "2 pictures are still being looked at: started now, their squares would be cut from the middle" in said(card)
    assert ids(card)[:2] == ["v1:plan:1:face-classic:4", "v1:start:1:face-classic:4:unseen"]
    with pytest.raises(Refused, match="2 pictures are still being looked at"):
        await training.submit(dataset.id, OWNER, "face-classic")
    async with lab.services.store.transaction() as tx:
        await set_focus(tx, 2, (0.0, 0.0, 0.75, 1.0))
    assert (await training.plan(dataset.id, OWNER, "face-classic")).waiting == 1, "one was placed by hand"
    assert (await training.plan(dataset.id, OWNER, "face")).waiting == 0, "shapes need no look"
    await measure(lab, dataset, *[measures()] * 3)
    assert ids(plan_card(await training.plan(dataset.id, OWNER, "face-classic"), "face-classic", "Classic"))[0] == (
        "v1:start:1:face-classic:10"
    )
    assert (await training.submit(dataset.id, OWNER, "face-classic")).state == "queued"


async def test_who_will_not_wait_starts_anyway(lab):
    dataset = await lab.dataset(pictures=3)
    job = await lab.services.jobs.training.submit(dataset.id, OWNER, "face-classic", unseen=True)
    spec = JobFolder(lab.config.paths.jobs / job.id).spec()
    assert spec.config.square
    assert len(spec.pictures) == 3
