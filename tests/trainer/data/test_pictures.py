import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from trainer.data.buckets import Bucket, fit
from trainer.data.pictures import open_mask, open_picture, to_mask, to_pixels, upright_size
from trainer.errors import BadPicture


def save(tmp_path, image, name="a.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_transparency_lies_over_white(tmp_path):
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert open_picture(save(tmp_path, half)).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("RGBA", (4, 4), (0, 0, 255, 255)).convert("P")
    assert open_picture(save(tmp_path, palette, transparency=palette.getpixel((0, 0)))).getpixel((1, 1)) == (255,) * 3


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    name = "a.jpg" if mode == "CMYK" else "a.png"
    assert open_picture(save(tmp_path, Image.new(mode, (8, 8)), name)).mode == "RGB"


@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_applied(tmp_path, orientation):
    image = Image.fromarray(np.arange(8 * 4 * 3, dtype=np.uint8).reshape(4, 8, 3))
    exif = image.getexif()
    exif[0x0112] = orientation
    path = save(tmp_path, image, exif=exif)
    with Image.open(path) as saved:
        assert open_picture(path).tobytes() == ImageOps.exif_transpose(saved).tobytes()
    assert open_picture(path).size == upright_size(path) == ((4, 8) if orientation in (5, 6, 7, 8) else (8, 4))


@pytest.mark.parametrize("tag", [0x011B, 0x0125])
def test_a_broken_tag_does_not_spoil_a_picture(tmp_path, tag):
    """Resolutions that are text rather than numbers: Pillow reads them, but cannot write them again."""
    entries = [struct.pack("<HHL4s", tag, 2, 2, b"x"), struct.pack("<HHL4s", 0x0112, 3, 1, b"\6")]
    exif = b"Exif\0\0II*\0\10\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    path = save(tmp_path, Image.new("RGB", (8, 4)), "a.jpg", exif=exif)
    with Image.open(path) as saved, pytest.raises((TypeError, struct.error)):
        ImageOps.exif_transpose(saved)
    assert open_picture(path).size == upright_size(path) == (4, 8)


@pytest.mark.parametrize("damage", ["text", "cut", "gif", "missing"])
def test_what_is_no_picture_is_named(tmp_path, damage):
    path = tmp_path / "0123456789abcdef.png"
    if damage == "text":
        path.write_text("not a picture")
    elif damage == "gif":
        Image.new("P", (8, 8)).save(path, "GIF")
    elif damage == "cut":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(BadPicture, match="0123456789ab cannot be read") as caught:
        open_picture(path)
    assert caught.value.retry is False


def test_pixels_are_the_centre_of_the_picture():
    image = Image.new("RGB", (96, 32), "black")
    image.paste((255, 0, 0), (32, 0, 64, 32))
    pixels = to_pixels(image, fit(96, 32, Bucket(32, 32)))
    assert pixels.shape == (3, 32, 32)
    assert (pixels[0] == 1.0).all()
    assert (pixels[1:] == -1.0).all()


def test_mirrored_pixels_are_those_of_the_mirrored_picture():
    gradient = Image.linear_gradient("L").rotate(90).resize((96, 32)).convert("RGB")
    fitted = fit(96, 32, Bucket(32, 32), (0.0, 0.0, 0.2, 1.0))
    plain, mirrored = to_pixels(gradient, fitted), to_pixels(gradient, fitted.mirror())
    assert not plain.equal(mirrored)
    assert plain.flip(2).equal(mirrored)


# --- masks ----------------------------------------------------------------------------------------------------------
def half_white(size=(128, 64)):
    """White on the left."""
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return mask


def test_a_mask_goes_where_its_picture_goes():
    fitted = fit(128, 64, Bucket(32, 32), (0.0, 0.0, 0.9, 1.0))
    share = to_mask(half_white(), fitted)
    assert share.shape == (1, 4, 4)
    # Scaled to 32 x 64, of which columns 12 to 44 are kept: white up to column 32, so 20 of 32.
    assert fitted.crop == (0, 12)
    assert share[0, 0].tolist() == pytest.approx([1.0, 1.0, 0.5, 0.0], abs=0.02)
    assert to_mask(half_white(), fitted.mirror())[0, 0].tolist() == pytest.approx([0.0, 0.5, 1.0, 1.0], abs=0.02)


def test_each_latent_gets_its_share_of_white():
    mask = Image.new("L", (16, 8))
    mask.paste(255, (0, 0, 4, 4))
    assert to_mask(mask, fit(16, 8, Bucket(16, 8))).tolist() == [[[0.25, 0.0]]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_masks_of_every_mode_are_read(tmp_path, mode):
    picture = save(tmp_path, Image.new("RGB", (128, 64)))
    mask = open_mask(save(tmp_path, half_white().convert(mode), "mask.png"), picture)
    assert (mask.mode, mask.getpixel((10, 10)), mask.getpixel((100, 10))) == ("L", 255, 0)


def test_a_mask_that_does_not_fit_names_its_picture(tmp_path):
    picture = save(tmp_path, Image.new("RGB", (128, 64)), "0123456789abcdef.png")
    with pytest.raises(BadPicture, match="0123456789ab has a mask of 64 x 128 pixels where its own size is 128 x 64"):
        open_mask(save(tmp_path, half_white((64, 128)), "mask.png"), picture)
    (tmp_path / "mask.png").write_bytes(b"no mask")
    with pytest.raises(BadPicture, match="0123456789ab has a mask that cannot be read"):
        open_mask(tmp_path / "mask.png", picture)
