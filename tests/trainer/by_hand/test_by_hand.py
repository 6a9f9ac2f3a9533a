"""A folder of pictures becomes a job: every layout, every kind of broken file, and no file ever overwritten."""

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.trainer.by_hand.conftest import picture
from trainer.by_hand.gather import Refused, find, formats, gather
from trainer.by_hand.make import find_base, make_job, slug, with_trigger
from trainer.by_hand.result import export, free_name
from trainer.contract.directory import DirectoryChannel
from trainer.contract.errors import ChannelError, InvalidConfig, InvalidJob
from trainer.contract.events import Finished
from trainer.errors import BadBase

DOG6 = Path(__file__).parents[3] / "../shared/photos/dog6"


# --- the job --------------------------------------------------------------------------------------------------------
def test_a_folder_becomes_a_job(request_for, said):
    job = make_job(request_for(settings={"resolution": 64, "epochs": 3, "batch_size": 2}), said.append)
    spec = job.spec()
    assert (spec.name, spec.base, spec.preset, spec.kind) == ("lisaxl_v1", "someone/sdxl", "face", "person")
    assert (spec.config.epochs, spec.config.batch_size, spec.config.rank) == (3, 2, 32)
    assert [picture.caption for picture in spec.pictures] == ["lisaxl, woman"] * 3
    assert len(spec.sample_prompts) == 4
    assert all(prompt.startswith("lisaxl, woman, ") for prompt in spec.sample_prompts)
    for file in (job.path / "dataset").iterdir():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.stem
    assert not list(job.path.parent.glob(".pictures-*")), "no scratch folder stays"


def test_brackets_of_the_words_are_text_in_the_prompts(request_for, said):
    spec = make_job(request_for(trigger="rin (idol)", class_word="girl [cute]"), said.append).spec()
    assert all(prompt.startswith(r"rin \(idol\), girl \[cute\], ") for prompt in spec.sample_prompts)
    assert {picture.caption for picture in spec.pictures} == {"rin (idol), girl [cute]"}


def test_a_second_job_gets_the_next_version(request_for, said):
    assert [make_job(request_for(), said.append).spec().name for _ in range(2)] == ["lisaxl_v1", "lisaxl_v2"]


def test_kohyas_layout_gives_repeats(request_for, folder, said):
    picture(folder / "img" / "10_lisaxl woman" / "a.png", colour="white")
    picture(folder / "3_more" / "b.png", colour="black")
    picture(folder / "notes" / "c.png")
    repeats = [one.repeats for one in make_job(request_for(), said.append).spec().pictures]
    assert sorted(repeats) == [1, 1, 1, 3, 10]
    inner = make_job(request_for(images=folder / "img" / "10_lisaxl woman"), said.append).spec()
    assert [one.repeats for one in inner.pictures] == [10]


def test_captions_beside_the_pictures_are_used(request_for, folder, said):
    (folder / "0.txt").write_bytes("\ufefflong hair, smile,\nred dress\n".encode())
    (folder / "1.txt").write_text("a photo of LisaXL in Paris")
    (folder / "2.txt").write_text(" \n")
    captions = {one.caption for one in make_job(request_for(), said.append).spec().pictures}
    assert captions == {
        "lisaxl, woman, long hair, smile, red dress",
        "a photo of LisaXL in Paris",
        "lisaxl, woman",
    }
    assert "3 pictures, 2 of them with a caption of their own" in said


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("", "lisaxl, woman"),
        ("smile", "lisaxl, woman, smile"),
        ("Woman, smile", "lisaxl, woman, smile"),
        ("smile, lisaxl", "smile, lisaxl"),
        ("lisaxlb, smile", "lisaxl, woman, lisaxlb, smile"),
        (" , ,", "lisaxl, woman"),
    ],
)
def test_the_trigger_word_is_put_in_front_exactly_once(caption, expected):
    assert with_trigger(caption, "lisaxl", "woman") == expected


@given(st.text())
def test_putting_the_trigger_word_twice_changes_nothing(caption):
    once = with_trigger(caption, "lisaxl", "woman")
    assert "lisaxl" in once.lower()
    assert with_trigger(once, "lisaxl", "woman") == once


def test_no_class_word_is_fine(request_for, said):
    spec = make_job(request_for(class_word=""), said.append).spec()
    assert spec.pictures[0].caption == "lisaxl"


# --- pictures -------------------------------------------------------------------------------------------------------
def test_pictures_are_turned_upright_and_stripped(request_for, tmp_path, said):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    exif[0x010E] = "a secret place"
    left_red = Image.new("RGB", (80, 64), "white")
    left_red.paste("red", (0, 0, 40, 64))
    (tmp_path / "phone").mkdir()
    left_red.save(tmp_path / "phone" / "a.jpg", exif=exif)
    job = make_job(request_for(images=tmp_path / "phone"), said.append)
    (file,) = (job.path / "dataset").iterdir()
    assert b"secret" not in file.read_bytes()
    with Image.open(file) as image:
        assert image.size == (64, 80)
        assert not image.getexif()
        assert image.getpixel((32, 5))[1] < 60, "what was left is on top now"
        assert image.getpixel((32, 75))[1] > 200


def test_another_colour_space_becomes_srgb(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    picture(tmp_path / "lab.jpg", colour=(200, 100, 50), icc_profile=profile)
    picture(tmp_path / "broken.jpg", colour=(10, 100, 50), icc_profile=b"no profile")
    (tmp_path / "scratch").mkdir()
    results = gather(find(tmp_path), tmp_path / "scratch", 64)
    assert not [result for result in results if isinstance(result, Refused)]
    for result in results:
        with Image.open(result.path) as image:
            assert "icc_profile" not in image.info


def test_transparency_goes_over_white_and_png_stays_lossless(tmp_path):
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.putpixel((1, 1), (12, 34, 56, 255))
    image.save(tmp_path / "a.png")
    (tmp_path / "scratch").mkdir()
    (result,) = gather(find(tmp_path), tmp_path / "scratch", 64)
    with Image.open(result.path) as copy:
        assert (copy.mode, copy.getpixel((0, 0)), copy.getpixel((1, 1))) == ("RGB", (255, 255, 255), (12, 34, 56))


def bad_files(folder):
    whole = io.BytesIO()
    Image.effect_noise((100, 100), 50).convert("RGB").save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "text.jpg").write_bytes(b"this is no picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    picture(folder / "small.png", size=(63, 500))
    picture(folder / "huge.png", size=(10_000, 4_001))
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:])
    (folder / "twice.jpg").write_bytes((folder / "0.jpg").read_bytes())
    return {
        "cut.jpg": "damaged or cut short",
        "text.jpg": "no picture that can be read",
        "empty.png": "no picture that can be read",
        "film.mp4": "no picture that can be read",
        "small.png": "needs at least 64",
        "huge.png": "more than 40 megapixels",
        "moving.webp": "is animated",
        "twice.jpg": "the same picture as 0.jpg",
    }


def test_each_bad_file_gets_its_sentence_and_the_rest_goes_on(request_for, folder, said):
    expected = bad_files(folder)
    (folder / ".hidden.jpg").write_bytes(b"x")
    (folder / "latents.npz").write_bytes(b"x")
    spec = make_job(request_for(), said.append).spec()
    assert len(spec.pictures) == 3
    refusals = {line.split()[0]: line for line in said if line.split()[0] in expected}
    assert refusals.keys() == expected.keys()
    assert all(words in refusals[name] for name, words in expected.items())
    assert not any("hidden" in line or "npz" in line for line in said)


def test_a_file_the_disk_refuses_is_told_from_a_damaged_one(tmp_path, monkeypatch):
    picture(tmp_path / "mine.png")
    (tmp_path / "scratch").mkdir()

    def refuse(*_arguments, **_keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    (refused,) = gather(find(tmp_path), tmp_path / "scratch", 64)
    assert refused.reason.startswith("cannot be read (Permission denied)")


def test_accents_leave_their_letters_in_a_files_name():
    assert slug("Sks Dög") == "sks-dog"


def test_a_phones_several_pictures_in_one_jpeg_are_its_first(tmp_path):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=frames[1:])
    (tmp_path / "scratch").mkdir()
    (result,) = gather(find(tmp_path), tmp_path / "scratch", 64)
    with Image.open(result.path) as image:
        assert image.getpixel((5, 5))[0] > 240


def test_avif_pictures_are_read(tmp_path):
    picture(tmp_path / "a.avif")
    (tmp_path / "scratch").mkdir()
    (result,) = gather(find(tmp_path), tmp_path / "scratch", 64)
    assert result.path.suffix == ".jpg"


def test_heic_is_read_where_its_decoder_is_installed():
    pytest.importorskip("pi_heif")
    assert "HEIF" in formats()


def test_real_photographs(request_for, said):
    if not DOG6.is_dir():
        pytest.skip("the photographs are not here")
    spec = make_job(
        request_for(images=DOG6, trigger="sks", class_word="dog", kind="object", settings={}), said.append
    ).spec()
    assert len(spec.pictures) == 5


def test_a_folder_without_a_usable_picture_is_refused(request_for, tmp_path, said):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidJob, match="no usable picture"):
        make_job(request_for(images=tmp_path / "empty"), said.append)
    (tmp_path / "empty" / "a.jpg").write_bytes(b"x")
    with pytest.raises(InvalidJob, match="no usable picture"):
        make_job(request_for(images=tmp_path / "empty"), said.append)
    with pytest.raises(InvalidJob, match="cannot read the folder"):
        make_job(request_for(images=tmp_path / "nowhere"), said.append)


# --- words ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("trigger", ["", "  ", "a,b", "a\x1bb"])
def test_a_trigger_word_that_is_none_is_refused(request_for, said, trigger):
    with pytest.raises(InvalidConfig, match="--trigger"):
        make_job(request_for(trigger=trigger), said.append)


@given(st.text())
def test_any_text_is_a_name_for_files_or_refused(text):
    try:
        name = slug(text)
    except InvalidConfig:
        return
    assert "/" not in name
    assert name[0].isalnum()


def test_the_base_is_a_model_that_exists_or_a_hub_id(tmp_path, monkeypatch, tiny_sdxl):
    monkeypatch.chdir(tiny_sdxl.parent)
    assert find_base(tiny_sdxl.name) == str(tiny_sdxl)
    with pytest.raises(BadBase, match="no diffusers model"):
        find_base(str(tmp_path))
    (tmp_path / "page.safetensors").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(BadBase, match="is a web page"):
        find_base(str(tmp_path / "page.safetensors"))
    assert find_base("stabilityai/sdxl") == "stabilityai/sdxl"
    for lost in ("./nowhere", "/nowhere", "model.safetensors", "someone/model.safetensors", "nowhere", "a/b/c"):
        with pytest.raises(InvalidJob, match="no base model"):
            find_base(lost)


# --- the file -------------------------------------------------------------------------------------------------------
def finished_job(request_for, contents=b"lora"):
    job = make_job(request_for(), lambda _: None)
    job.open_attempt(1)
    channel = DirectoryChannel(job.path, 1)
    source = channel.workspace / "lora"
    source.write_bytes(contents)
    channel.put_file("lora/epoch-001.safetensors", source)
    channel.append(
        Finished(
            reason="complete",
            epoch=1,
            step=1,
            file="lora/epoch-001.safetensors",
            sha256=hashlib.sha256(contents).hexdigest(),
            bytes=4,
            training_seconds=1.0,
        )
    )
    return job


def test_the_finished_file_is_copied_once_and_overwrites_nothing(request_for, tmp_path):
    job = finished_job(request_for)
    out = tmp_path / "out"
    assert export(job, 1, out) == out / "lisaxl_v1.safetensors"
    assert export(job, 1, out) == out / "lisaxl_v1.safetensors"
    (out / "lisaxl_v1.safetensors").unlink()
    (out / "lisaxl_v1.safetensors").write_bytes(b"mine")
    assert export(job, 1, out) == out / "lisaxl_v2.safetensors"
    assert (out / "lisaxl_v1.safetensors").read_bytes() == b"mine"
    assert (out / "lisaxl_v2.safetensors").read_bytes() == b"lora"


def test_a_file_where_the_folder_should_be_is_told(request_for, tmp_path):
    job = finished_job(request_for)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ChannelError, match="cannot write into"):
        export(job, 1, tmp_path / "file" / "out")
    with pytest.raises(ChannelError, match="cannot write into"):
        make_job(request_for(out=tmp_path / "file" / "out"), lambda _: None)


def test_an_attempt_without_a_file_has_nothing_to_export(request_for, tmp_path):
    job = make_job(request_for(), lambda _: None)
    job.open_attempt(1)
    with pytest.raises(InvalidJob, match="no finished file"):
        export(job, 1, tmp_path)


def test_versions_count_on_from_the_highest(tmp_path):
    for name in ("lisaxl_v2.safetensors", "lisaxl_v10.safetensors", "lisaxl_vx.safetensors", "other_v99.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "jobs" / "lisaxl_v11").mkdir(parents=True)
    assert free_name(tmp_path, "lisaxl") == "lisaxl_v12"
    assert free_name(tmp_path, "new") == "new_v1"
