"""Masks, regularisation pictures, and what else a request says of the pictures."""

import hashlib

import pytest
from PIL import Image

from tests.trainer.by_hand.conftest import picture
from trainer.by_hand.make import make_job
from trainer.contract.errors import InvalidConfig, InvalidJob
from trainer.errors import BadBase


# --- masks ----------------------------------------------------------------------------------------------------------
def half_white(size=(64, 80), mode="L"):
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return mask.convert(mode)


def masks_of(job):
    """Each picture's mask, opened, by the colour its picture has."""
    opened = {}
    for one in job.spec().pictures:
        with Image.open(job.path / "dataset" / one.file) as image:
            colour = max(zip(image.convert("RGB").getpixel((0, 0)), ("red", "green", "blue"), strict=True))[1]
        opened[colour] = Image.open(job.path / "dataset" / one.mask) if one.mask else None
    return opened


def test_masks_of_a_folder_come_into_the_job(request_for, folder, tmp_path, said):
    (tmp_path / "masks").mkdir()
    half_white(mode="RGB").save(tmp_path / "masks" / "0.webp", lossless=True)
    Image.new("L", (64, 80), 255).save(tmp_path / "masks" / "1.png")
    job = make_job(request_for(masks=tmp_path / "masks"), said.append)
    assert job.spec().config.masked_loss, "who names masks wants them"
    masks = masks_of(job)
    assert (masks["red"].mode, masks["red"].size) == ("L", (64, 80))
    assert (masks["red"].getpixel((5, 5)), masks["red"].getpixel((60, 5))) == (255, 0)
    assert masks["green"] is None, "all white is as good as none"
    assert masks["blue"] is None
    assert any("1 with a mask" in line for line in said)
    for file in (job.path / "dataset").iterdir():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.stem


def test_masks_may_be_left_out_of_account(request_for, tmp_path, said):
    (tmp_path / "masks").mkdir()
    half_white().save(tmp_path / "masks" / "0.png")
    settings = {"resolution": 64, "masked_loss": False}
    spec = make_job(request_for(masks=tmp_path / "masks", settings=settings), said.append).spec()
    assert not any(one.mask for one in spec.pictures)


def test_masks_in_kohyas_folders_belong_to_the_pictures_there(request_for, tmp_path, said):
    for name, colour in (("1_red", "red"), ("2_blue", "blue")):
        picture(tmp_path / "data" / name / "a.png", colour=colour)
        (tmp_path / "masks" / name).mkdir(parents=True)
    half_white().save(tmp_path / "masks" / "2_blue" / "a.png")
    masks = masks_of(make_job(request_for(images=tmp_path / "data", masks=tmp_path / "masks"), said.append))
    assert masks["red"] is None
    assert masks["blue"].getpixel((60, 5)) == 0


@pytest.mark.parametrize("wanted", [True, False])
def test_transparency_is_a_mask_where_masks_are_wanted(request_for, folder, wanted, said):
    cut_out = Image.new("RGBA", (64, 80), "red")
    cut_out.putalpha(half_white())
    cut_out.save(folder / "0.png")
    (folder / "0.jpg").unlink()
    settings = {"resolution": 64, "masked_loss": wanted}
    masks = masks_of(make_job(request_for(settings=settings), said.append))
    assert (masks["red"] is not None) == wanted
    if wanted:
        assert (masks["red"].getpixel((5, 5)), masks["red"].getpixel((60, 5))) == (255, 0)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (half_white((80, 64)), "has 64 x 80 pixels, its mask 0.png 80 x 64"),
        (Image.new("L", (64, 80)), "a mask that is black all over"),
        (b"no picture", "a mask 0.png that cannot be read"),
    ],
)
def test_a_picture_whose_mask_is_of_no_use_gets_its_sentence(request_for, folder, tmp_path, mask, words, said):
    (tmp_path / "masks").mkdir()
    if isinstance(mask, bytes):
        (tmp_path / "masks" / "0.png").write_bytes(mask)
    else:
        mask.save(tmp_path / "masks" / "0.png")
    spec = make_job(request_for(masks=tmp_path / "masks"), said.append).spec()
    assert len(spec.pictures) == 2
    assert any(line.startswith("0.jpg") and words in line for line in said)


def test_a_folder_of_masks_that_is_not_there_is_told(request_for, tmp_path, said):
    with pytest.raises(InvalidJob, match="cannot read the folder of masks"):
        make_job(request_for(masks=tmp_path / "nowhere"), said.append)


# --- regularisation -------------------------------------------------------------------------------------------------
def others(job):
    return [one for one in job.spec().pictures if one.regularisation]


@pytest.mark.parametrize("layout", ["1_woman", "reg/1_woman", "."])
def test_regularisation_pictures_are_captioned_without_the_trigger(request_for, tmp_path, layout, said):
    root = tmp_path / "others"
    for number, colour in enumerate(("white", "black")):
        picture(root / layout / f"{number}.png", colour=colour)
    (root / layout / "1.txt").write_text("woman, hat")
    job = make_job(request_for(regularisation=root), said.append)
    assert [one.caption for one in others(job)] == ["woman", "woman, hat"]
    assert sum(not one.regularisation for one in job.spec().pictures) == 3
    assert job.spec().images_per_epoch == 6, "three of the subject, and three to balance them"


def test_more_regularisation_pictures_than_needed_are_left_out(request_for, tmp_path, said):
    for number in range(8):
        picture(tmp_path / "others" / f"{number}.png", colour=(number * 20, 0, 99))
    job = make_job(request_for(regularisation=tmp_path / "others"), said.append)
    assert len(others(job)) == 3
    assert "5 regularisation pictures are more than there is to balance, and not used" in said


def test_regularisation_pictures_need_a_word_and_a_picture(request_for, tmp_path, said):
    with pytest.raises(InvalidJob, match="cannot read the folder"):
        make_job(request_for(regularisation=tmp_path / "others"), said.append)
    (tmp_path / "others").mkdir()
    with pytest.raises(InvalidJob, match=r"no usable picture in the folder .*others"):
        make_job(request_for(regularisation=tmp_path / "others"), said.append)
    picture(tmp_path / "others" / "a.png")
    with pytest.raises(InvalidConfig, match="--class-word"):
        make_job(request_for(regularisation=tmp_path / "others", class_word=""), said.append)


# --- the run ----------------------------------------------------------------------------------------------------------
def test_a_batch_larger_than_an_epoch_is_told_and_made_to_fit(request_for, said):
    job = make_job(request_for(settings={"resolution": 64, "batch_size": 5}), said.append)
    assert "batch_size 5 is more than an epoch has: a step takes 3" in said
    assert job.spec().config.batch_size == 3
    said.clear()
    make_job(request_for(settings={"resolution": 64, "batch_size": 3}), said.append)
    assert not any("batch_size" in line for line in said)


def test_a_validation_share_of_one_picture_is_refused(request_for, folder, said):
    for number in (1, 2):
        (folder / f"{number}.jpg").unlink()
    with pytest.raises(InvalidJob, match="validation_share leaves no picture"):
        make_job(request_for(settings={"resolution": 64, "validation_share": 0.1}), said.append)


def test_another_vae_and_a_negative_prompt_go_into_the_job(request_for, tiny_sdxl, said):
    spec = make_job(request_for(vae=str(tiny_sdxl / "vae"), negative="blurry"), said.append).spec()
    assert (spec.vae, spec.negative_prompt) == (str(tiny_sdxl / "vae"), "blurry")
    assert make_job(request_for(), said.append).spec().vae == ""
    assert make_job(request_for(vae="someone/sdxl-vae"), said.append).spec().vae == "someone/sdxl-vae"
    with pytest.raises(InvalidJob, match="there is no VAE at /nowhere"):
        make_job(request_for(vae="/nowhere"), said.append)
    with pytest.raises(BadBase, match="holds no VAE"):
        make_job(request_for(vae=str(tiny_sdxl / "tokenizer")), said.append)


def test_a_folder_of_regularisation_pictures_that_nobody_named_is_told(request_for, folder, said):
    picture(folder / "reg" / "1_woman" / "a.png")
    job = make_job(request_for(), said.append)
    assert not any(one.regularisation for one in job.spec().pictures)
    assert f"The pictures in {folder / 'reg'} are not used; --regularisation takes that folder" in said
    said.clear()
    job = make_job(request_for(regularisation=folder / "reg"), said.append)
    assert [one.caption for one in job.spec().pictures if one.regularisation] == ["woman"]
    assert [line for line in said if "not used" in line] == []
