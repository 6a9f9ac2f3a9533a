"""Which way a step is done, what is refused and in which words, and what the commands say."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir

import pytest
import torch

from tests.trainer.jobs import bodies, draw_pictures, open_channel, tiny_job
from tests.trainer.planning.shapes import VAE, load_of, shape
from trainer.__main__ import main
from trainer.contract.config import TrainConfig
from trainer.contract.errors import InvalidConfig
from trainer.contract.events import Failed, Preparing
from trainer.contract.exits import Exit
from trainer.contract.presets import load_preset
from trainer.errors import BadBase, DoesNotFit
from trainer.formats.single_file import sdxl_config_folder
from trainer.job import run_job
from trainer.model.device import pick_numbers
from trainer.planning import room as rooms
from trainer.planning.architecture import PARTS, Architecture, read_architecture
from trainer.planning.choose import Chooser
from trainer.planning.disk import check_disk, disk_of
from trainer.planning.memory import held_of, training_bytes, vae_bytes
from trainer.planning.plan import make_plan
from trainer.planning.report import lines
from trainer.planning.room import GIB, Room, room_of, room_of_card
from trainer.planning.simulate import simulate
from trainer.planning.way import Way, Ways

CPU = torch.device("cpu")
FP32, BF16 = pick_numbers("fp32", CPU), pick_numbers("bf16", CPU)
SIZE = {"resolution": 128, "bucket_step": 64, "rank": 4, "batch_size": 4, "precision": "fp32", "sample_count": 0}
MIB = 1 << 20


def chooser(**settings):
    config = TrainConfig.from_mapping({**SIZE, **settings})
    load = load_of(config)
    simulation = simulate(shape(), config, FP32)
    return Chooser(simulation, load, held_of(shape(), simulation, load, FP32, on_gpu=True))


def test_with_room_enough_nothing_is_recomputed_or_cut():
    assert chooser().best(10 * GIB) == Way()


def test_what_fits_is_chosen_and_less_room_never_makes_it_faster():
    one = chooser()
    whole, least = one.need(Way()), one.need(one.smallest())
    costs = []
    for share in (1.0, 0.8, 0.6, 0.4, 0.2, 0.0):
        room = least + share * (whole - least)
        way = one.best(room)
        assert one.need(way) <= room
        costs.append(one.cost(way))
    assert costs == sorted(costs)
    assert one.best(0.9 * least) is None


def test_partial_is_as_few_blocks_as_fit():
    one = chooser(gradient_checkpointing="partial", batch_size=1)
    room = (one.need(Way()) + one.need(one.smallest())) / 2
    way = one.best(room)
    assert 0 < len(way.recomputed) < len(one.simulation.one.saved)
    assert all(one.need(Way(0, way.recomputed - {unit})) > room for unit in way.recomputed)


@pytest.mark.parametrize(("kind", "recomputed"), [("off", 0), ("full", 13)])
def test_what_is_forced_is_done(kind, recomputed):
    one = chooser(gradient_checkpointing=kind)
    assert len(one.best(10 * GIB).recomputed) == recomputed
    assert len(one.best(one.need(one.smallest())).recomputed) == recomputed


def test_the_way_to_fall_back_on_needs_less():
    one = chooser()
    for room in (10 * GIB, one.need(Way()), one.need(one.smallest()) * 1.2):
        way = one.best(room)
        assert one.need(one.next_after(way, room)) < one.need(way)
    assert one.next_after(one.smallest(), one.need(one.smallest())) is None


def test_ways_survive_the_pipe_to_another_process():
    ways = Ways(Way(2, frozenset({"a", "b"})), Way(1), True)
    for one in (ways, Ways(), ways.fallen_back()):
        assert Ways.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert ways.fallen_back() == Ways(Way(1), None, True)


# --- SDXL itself ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def sdxl():
    return Architecture(*((sdxl_config_folder() / part / "config.json").read_text() for part in PARTS))


@pytest.mark.slow
def test_twelve_gigabytes_are_enough_for_a_face_and_eight_are_not(sdxl):
    face = load_preset("face").config
    load = load_of(face, images=30)
    plan = make_plan(sdxl, load, BF16, room_of_card("12GB"))
    assert plan.peak <= plan.room.usable < 12 * GIB
    assert 0 < len(plan.ways.now.recomputed) <= plan.units
    with pytest.raises(DoesNotFit, match=r"needs 7\.\d GB .* has 7\.\d GB for it; it would fit with resolution 768"):
        make_plan(sdxl, load, BF16, room_of_card("9GB"))
    # Nothing is left there beside the UNet and the encoders that samples are read by.
    with pytest.raises(DoesNotFit, match=r"needs \d\.\d GB .* has 6\.\d GB for it; choose a GPU with more memory"):
        make_plan(sdxl, load, BF16, room_of_card("8GB"))
    large = make_plan(sdxl, load, BF16, room_of_card("80GB"))
    assert large.ways.now == Way()
    assert "all pictures of a batch at once" in large.sentence()


# --- rooms ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["12", "12GB", "12 gb", "12.0GiB"])
def test_a_cards_size(text):
    assert 11.1 * GIB < room_of_card(text).free < 11.76 * GIB - rooms.CONTEXT


@pytest.mark.parametrize("text", ["", "much", "12TB", "-3GB", "99999GB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InvalidConfig, match="--memory"):
        room_of_card(text)


def test_of_a_teams_cards_the_fullest_decides(monkeypatch):
    free = {1: 20 * GIB, 2: 12 * GIB, 3: 18 * GIB}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.index], 24 * GIB))
    card = torch.device("cuda", 1)
    assert room_of(card).free == 20 * GIB
    assert room_of(card, 3).free == 12 * GIB - rooms.CONTEXT
    free[1] = 5 * GIB
    assert room_of(card, 3).free == 5 * GIB
    free[3] = 0
    assert room_of(card, 3).free == 0


def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(f"{500 * MIB}\n")
    (tmp_path / "memory.current").write_text(f"{300 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {100 * MIB}\n")
    assert room_of(CPU).free == 300 * MIB
    assert room_of(CPU, processes=3).free == 100 * MIB
    (tmp_path / "memory.max").write_text("max\n")
    assert room_of(CPU).free > 300 * MIB


# --- disk -------------------------------------------------------------------------------------------------------------
def test_a_full_disk_is_told_beforehand():
    one = chooser(epochs=100, checkpoint_every_epochs=5)
    disk = disk_of(one.held, 20, one.load.config)
    check_disk(disk, int(disk.total) + 1)
    with pytest.raises(DoesNotFit, match="the disk has 1 MB free"):
        check_disk(disk, MIB)
    assert disk_of(one.held, 20, one.load.config, goes_on=True).checkpoints < disk.checkpoints


# --- another VAE ------------------------------------------------------------------------------------------------------
def test_another_vae_is_read_in_place_of_the_bases(tiny_sdxl, tmp_path, monkeypatch):
    own = read_architecture(str(tiny_sdxl))
    wide = {**VAE, "block_out_channels": [32, 32, 32, 32]}
    for folder in ("alone", "whole/vae"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text(json.dumps(wide))
        other = read_architecture(str(tiny_sdxl), str(tmp_path / folder.partition("/")[0]))
        assert other.config("vae") == wide
        assert replace(other, vae=own.vae) == own
    assert vae_bytes(other, 64, "encode", on_gpu=False) > vae_bytes(own, 64, "encode", on_gpu=False)

    def download(hub_id, file):
        if file == "config.json":
            raise FileNotFoundError
        return tmp_path / "whole" / file

    monkeypatch.setattr("trainer.planning.architecture.hf_hub_download", download)
    assert read_architecture(str(tiny_sdxl), "owner/vae").config("vae") == wide


def test_a_vae_that_cannot_be_read(tiny_sdxl, tmp_path):
    with pytest.raises(BadBase, match="The VAE 'lost' is not there"):
        read_architecture(str(tiny_sdxl), "/nowhere/lost")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadBase, match=r"The VAE .* cannot be planned for"):
        read_architecture(str(tiny_sdxl), str(tmp_path))


# --- commands and jobs ------------------------------------------------------------------------------------------------
def test_a_base_that_is_not_there():
    with pytest.raises(BadBase, match="is not there"):
        read_architecture("/nowhere/model")


def test_the_command_plans_a_folder_a_number_and_a_job(tiny_sdxl, tmp_path, capsys):
    job = tiny_job(tmp_path, tiny_sdxl)
    size = ["--set", "resolution=64", "--base", str(tiny_sdxl), "--no-trial"]
    folder = str(tmp_path / "pictures")
    for asked in ([str(job.path), "--no-trial"], ["--pictures", "3", *size], ["--images", folder, *size]):
        assert main(["plan", *asked]) == 0
        told = capsys.readouterr().out
        assert "Memory:" in told
        assert "Disk:" in told
        assert "Time:" not in told
    assert main(["plan", "--pictures", "3", *size, "--memory", "12GB", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "cuda"
    assert found["flops"] == found["flops_per_step"] * found["steps"]
    assert max(len(line) for line in lines(found) if "░" in line) <= 40


def planned(capsys, *arguments):
    assert main(["plan", *arguments, "--no-trial", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_longest_caption_of_a_folder_counts(tiny_sdxl, tmp_path, capsys):
    folder = tmp_path / "pictures"
    draw_pictures(folder)
    asked = ["--images", str(folder), "--base", str(tiny_sdxl), "--set", "resolution=64", "--set", "caption_tokens=150"]
    short = planned(capsys, *asked)
    (folder / "1.txt").write_text("word, " * 50)
    long = planned(capsys, *asked)
    for part in ("activations", "pictures_and_texts"):
        assert long["memory"][part] > short["memory"][part]
    assert planned(capsys, *asked, "--set", "caption_tokens=75")["phases"] == short["phases"]
    (folder / "2.txt").mkdir()
    assert main(["plan", *asked, "--no-trial"]) == 2
    assert "cannot read a caption" in capsys.readouterr().err


def test_a_vae_of_ones_own_is_planned_for(tiny_sdxl, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({**VAE, "block_out_channels": [64, 64, 64, 64]}))
    asked = ["--pictures", "3", "--base", str(tiny_sdxl), "--set", "resolution=64", "--memory", "12GB"]
    own, other = planned(capsys, *asked), planned(capsys, *asked, "--vae", str(tmp_path))
    assert other["phases"]["encoding"] > own["phases"]["encoding"]
    assert other["phases"]["training"] == own["phases"]["training"]


def test_each_process_of_a_team_has_its_part(tiny_sdxl, capsys):
    asked = ["--pictures", "8", "--batch", "4", "--base", str(tiny_sdxl)]
    asked += ["--set", "resolution=64", "--set", "preservation_weight=0"]
    alone, each = planned(capsys, *asked), planned(capsys, *asked, "--processes", "2")
    assert (each["processes"], each["batch"], alone["batch"]) == (2, 2, 4)
    assert each["steps"] == alone["steps"]
    assert each["memory"]["activations"] < alone["memory"]["activations"]
    assert each["flops_per_step"] == pytest.approx(alone["flops_per_step"] / 2, rel=0.05)
    assert main(["plan", *asked, "--processes", "2", "--no-trial"]) == 0
    told = capsys.readouterr().out
    assert "Memory in each of 2 processes:" in told
    assert "A step: 2 pictures in each of 2 processes at once" in told
    accumulated = load_of(TrainConfig.from_mapping({**SIZE, "gradient_accumulation": 3}))
    assert (accumulated.batches, replace(accumulated, processes=2).batches) == (3, 2)


def test_processes_add_up_their_gradients_in_a_tensor_of_their_own():
    """Seen where that is the most a step needs: a LoRA much larger than the passes."""
    config = TrainConfig.from_mapping(SIZE)
    simulation, alone = simulate(shape(), config, FP32), load_of(config)
    held = held_of(shape(), simulation, alone, FP32, on_gpu=True)
    large = replace(held, gradients=4.0 * GIB, trained=GIB)
    one, two = (training_bytes(simulation, load, large, Way()) for load in (alone, replace(alone, processes=2)))
    assert (one, two) == (held.total + 4 * GIB, held.total + 8 * GIB)


def test_the_command_refuses_what_does_not_fit_and_what_is_no_question(tiny_sdxl, capsys):
    base = ["--base", str(tiny_sdxl), "--set", "resolution=64"]
    assert main(["plan", "--pictures", "3", *base, "--memory", "0.6GB"]) == 2
    assert "choose a GPU with more memory" in capsys.readouterr().err
    assert main(["plan", *base]) == 2
    assert "--pictures N" in capsys.readouterr().err


def test_a_trial_tells_the_time(tiny_sdxl, tmp_path, monkeypatch, capsys):
    folder = tmp_path
    monkeypatch.chdir(folder)
    arguments = ["--pictures", "2", "--batch", "1", "--base", str(tiny_sdxl), "--set", "resolution=64"]
    assert main(["plan", *arguments, "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    parts = found["times"]
    assert all(seconds > 0 for seconds in parts.values())
    assert found["seconds"] > sum(parts.values())
    assert not [path for path in folder.iterdir() if path.name.startswith(".trial")]


def test_where_nobody_may_write_a_trial_writes_elsewhere(tiny_sdxl, tmp_path, monkeypatch, capsys):
    folders = []
    monkeypatch.setattr("trainer.planning.trial.try_out", lambda *_, folder, **__: folders.append(folder))
    monkeypatch.setattr("trainer.cli.plan.os.access", lambda *_: not folders)
    monkeypatch.chdir(tmp_path)
    arguments = ["--pictures", "2", "--batch", "1", "--base", str(tiny_sdxl), "--set", "resolution=64"]
    for _ in range(2):
        assert main(["plan", *arguments, "--device", "cpu"]) == 0
    assert folders == [tmp_path, Path(gettempdir())]


def test_a_job_that_does_not_fit_ends_before_its_base_is_loaded(tiny_sdxl, tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.planning.job.room_of", lambda *_: Room("cpu", 10 * MIB))
    monkeypatch.setattr("trainer.training.prepare.load_base", None)
    channel = open_channel(tiny_job(tmp_path, tiny_sdxl))
    assert run_job(channel, device="cpu") == Exit.FAILED
    [failed] = bodies(channel, Failed)
    assert (failed.code, failed.retry) == ("does-not-fit", False)
    assert "choose a machine with more memory" in failed.message
    assert not bodies(channel, Preparing)


def test_a_job_tells_its_plan_and_follows_it(small_sdxl, tmp_path, monkeypatch):
    ways = Ways(Way(1, frozenset({"up_blocks.1.resnets.0"})), None, is_planned=True)
    plan = make_plan(read_architecture(str(small_sdxl)), chooser().load, FP32, Room("cpu", 10 * GIB))
    monkeypatch.setattr("trainer.job.plan_job", lambda *_, **__: replace(plan, ways=ways))
    channel = open_channel(tiny_job(tmp_path, small_sdxl, epochs=1))
    assert run_job(channel, device="cpu") == Exit.FINISHED
    assert "1 of 4 pictures at a time, 1 of 14 blocks recomputed" in bodies(channel, Preparing)[0].doing
