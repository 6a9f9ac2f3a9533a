import numpy as np
import pytest
from PIL import Image

from trainer.data.buckets import Bucket, fit
from trainer.data.pictures import open_picture, to_pixels, upright_size
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


def test_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (8, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    path = save(tmp_path, image, "a.jpg", exif=exif)
    assert open_picture(path).size == upright_size(path) == (4, 8)
    assert upright_size(save(tmp_path, image)) == (8, 4)


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
