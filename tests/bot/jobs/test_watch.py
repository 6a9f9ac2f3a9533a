"""The host is told what only the host can mend; members who wait are told that nothing trains."""

import pytest

from bot.cards.job import plan_card
from bot.services.jobs.watch import REMINDER_SECONDS, TrainerWatch
from tests.bot.jobs.lab import OWNER, Lab
from trainer.contract.events import Failed


@pytest.fixture
def watch(lab) -> TrainerWatch:
    return lab.services.upkeep.clockwork._watch


async def looks(lab: Lab, watch: TrainerWatch, *seconds: float) -> None:
    for pause in seconds:
        lab.clock.now += pause
        await watch.look()


async def test_a_trainer_that_does_not_let_go_is_named_and_the_next_is_not_blamed(lab, watch, caplog):
    trainer = lab.serve()
    job = await lab.submit()
    await lab.turn()
    hung = trainer.claim()
    await looks(lab, watch, 0, 200)
    assert caplog.records == [], "an attempt under way is no trouble"
    hung.channel.append(Failed(code="crashed", message="It broke.", retry=True))
    await lab.turn()
    await looks(lab, watch, 0, 60)
    assert "does not let go" not in caplog.text, "it is given a moment"
    await looks(lab, watch, 70, 60, 60)
    assert caplog.text.count(f"trainer gpu0 does not let go of job {job.id}, attempt 1") == 1
    await looks(lab, watch, REMINDER_SECONDS)
    assert caplog.text.count("does not let go") == 2


async def test_waiting_without_a_trainer_is_told_to_host_and_member(lab, watch, caplog):
    dataset = await lab.dataset()
    plan = await lab.services.jobs.training.plan(dataset.id, OWNER)
    card = plan_card(plan, "face", "A face")
    words = "\n".join(item.content for item in card.walk_children() if hasattr(item, "content"))
    assert "No trainer is running now" in words
    assert "starts at once" not in words
    await lab.services.jobs.training.submit(dataset.id, OWNER)
    await lab.turn()
    assert "No trainer is running now" in lab.discord.cards()[-1].text
    await looks(lab, watch, 0, 130)
    assert "trainings wait but no trainer runs (gpu0)" in caplog.text
    trainer = lab.serve()
    await lab.turn()
    trainer.claim().step(1)
    await lab.turn(11)
    assert "No trainer" not in lab.discord.cards()[-1].text
