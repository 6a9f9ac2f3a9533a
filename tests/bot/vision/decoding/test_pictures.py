"""Pictures as phones and cameras make them: all come out upright, in sRGB, with nothing in them but pixels."""

import io
from pathlib import Path

import pytest
from PIL import ExifTags, Image, ImageCms

from tests.bot.conftest import encoded, make_picture, quarters

FILES = Path(__file__).parents[1] / "files"
PHOTOS = Path(__file__).parents[4] / "../shared/photos"
SIZE = (96, 64)
UNDO = {  # what a camera did to the picture that says "orientation n", so that undoing n shows it upright
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
FORMATS = {"JPEG": "jpg", "PNG": "webp", "WEBP": "jpg", "AVIF": "jpg"}


async def opened(decoder, data: bytes) -> Image.Image:
    decoded = await decoder.decode(data, "`a picture`")
    image = Image.open(io.BytesIO(decoded.data))
    image.load()
    assert image.size == (decoded.width, decoded.height)
    assert image.format == {"jpg": "JPEG", "webp": "WEBP"}[decoded.suffix]
    return image


def assert_upright(image: Image.Image, size: tuple[int, int] = SIZE, tolerance: int = 40) -> None:
    """The four quarters are where they belong."""
    assert image.size == size
    width, height = size
    expected = quarters(size)
    for spot in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)):
        where = (int(spot[0] * width), int(spot[1] * height))
        got = image.convert("RGB").getpixel(where)
        assert all(abs(a - b) <= tolerance for a, b in zip(got, expected.getpixel(where), strict=True)), (where, got)


@pytest.mark.parametrize(
    ("format", "orientation"), [*(("JPEG", each) for each in UNDO), ("PNG", 6), ("WEBP", 6), ("AVIF", 6)]
)
async def test_every_exif_orientation_is_turned_upright(decoder, format, orientation):
    image = quarters(SIZE)
    if UNDO[orientation] is not None:
        image = image.transpose(UNDO[orientation])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = await opened(decoder, encoded(image, format, exif=exif))
    assert_upright(stored)
    assert stored.getexif().get(ExifTags.Base.Orientation) is None


@pytest.mark.parametrize("format", FORMATS)
async def test_place_text_and_profile_are_stripped(decoder, format):
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "my secret place"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {"comment": b"my secret place"} if format == "JPEG" else {}
    data = encoded(quarters(SIZE), format, exif=exif, icc_profile=profile, xmp=b"<x>my secret place</x>", **options)
    assert b"my secret place" in data
    decoded = await decoder.decode(data, "`a`")
    stored = Image.open(io.BytesIO(decoded.data))
    assert b"my secret place" not in decoded.data
    assert not dict(stored.getexif())
    assert not {"exif", "icc_profile", "xmp", "comment"} & stored.info.keys()
    assert decoded.suffix == FORMATS[format]


async def test_a_small_lossless_picture_stays_lossless(decoder):
    image = Image.effect_noise((80, 80), 90).convert("RGB")
    stored = await opened(decoder, encoded(image, "PNG"))
    assert stored.tobytes() == image.tobytes()
    stored = await opened(decoder, encoded(image, "WEBP", lossless=True))
    assert stored.tobytes() == image.tobytes()


async def test_a_large_lossless_picture_becomes_a_jpeg(decoder):
    decoded = await decoder.decode(encoded(quarters((2600, 1600)), "PNG", compress_level=1), "`a`")
    assert decoded.suffix == "jpg"


async def test_a_jpeg_keeps_its_colour_edges(decoder):
    """No chroma subsampling: a one-pixel red line on grey is still red."""
    image = Image.new("RGB", (96, 96), (128, 128, 128))
    image.paste((230, 20, 20), (47, 0, 48, 96))
    stored = await opened(decoder, encoded(image, "JPEG", quality=98, subsampling=0))
    red, green, _ = stored.getpixel((47, 50))
    assert red - green > 120


async def test_transparency_is_kept_only_where_there_is_some(decoder):
    image = quarters(SIZE).convert("RGBA")
    opaque = await opened(decoder, encoded(image, "PNG"))
    assert opaque.mode == "RGB"
    image.putalpha(Image.linear_gradient("L").resize(SIZE))
    seen_through = await opened(decoder, encoded(image, "PNG"))
    assert seen_through.mode == "RGBA"
    assert seen_through.getchannel("A").tobytes() == image.getchannel("A").tobytes()


async def test_a_large_picture_with_transparency_is_made_smaller(decoder):
    image = quarters((2800, 1700)).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 700, 425))
    stored = await opened(decoder, encoded(image, "PNG", compress_level=1))
    assert stored.mode == "RGBA"
    assert 3_900_000 < stored.width * stored.height < 4_100_000
    assert abs(stored.width / stored.height - 2800 / 1700) < 0.01


MODES = {
    "cmyk": lambda: encoded(quarters(SIZE).convert("CMYK"), "JPEG"),
    "palette": lambda: encoded(quarters(SIZE).quantize(16), "PNG"),
    "16 bits a channel": lambda: (FILES / "rgb16.png").read_bytes(),
    "progressive": lambda: make_picture(SIZE, progressive=True),
    "avif": lambda: make_picture(SIZE, format="AVIF"),
    "multi-picture": lambda: encoded(
        quarters(SIZE), "MPO", save_all=True, append_images=[Image.new("RGB", SIZE, "black")]
    ),
}


@pytest.mark.parametrize("mode", MODES)
async def test_unusual_kinds_of_pictures_look_the_same(decoder, mode):
    stored = await opened(decoder, MODES[mode]())
    assert stored.mode == "RGB"
    assert_upright(stored)


@pytest.mark.parametrize(("name", "size"), [("still", (128, 96)), ("rot", (128, 96)), ("multi", (128, 96))])
async def test_heic_of_phones(decoder, name, size):
    data = (FILES / f"{name}.heic").read_bytes()
    decoded = await decoder.decode(data, "`a.heic`")
    assert_upright(Image.open(io.BytesIO(decoded.data)), size)
    assert b"secret place" not in decoded.data


async def test_palette_with_a_transparent_colour(decoder):
    image = quarters(SIZE).quantize(16)
    stored = await opened(decoder, encoded(image, "PNG", transparency=image.getpixel((5, 5))))
    assert stored.mode == "RGBA"
    assert stored.getpixel((5, 5))[3] == 0
    assert stored.getpixel((90, 5))[3] == 255


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16"])
async def test_grey_pictures_keep_their_shades(decoder, mode):
    ramp = Image.linear_gradient("L").resize((96, 96))
    if mode == "I;16":
        image = Image.frombytes("I;16", (96, 96), b"".join(bytes((grey, grey)) for grey in ramp.tobytes()))
    else:
        image = ramp.convert(mode)
    stored = await opened(decoder, encoded(image, "PNG"))
    top, bottom = stored.getpixel((48, 1)), stored.getpixel((48, 94))
    assert max(top) <= 12
    assert min(bottom) >= 243
    if mode != "1":
        assert abs(stored.getpixel((48, 48))[0] - ramp.getpixel((48, 48))) <= 3


def wide_profile() -> bytes:
    """An RGB profile whose primaries are not sRGB's (as Display P3's are not): sRGB's with red and green swapped."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * int.from_bytes(data[128:132], "big"), 12)}
    red, green = entries[b"rXYZ"], entries[b"gXYZ"]
    data[red + 4 : red + 12], data[green + 4 : green + 12] = data[green + 4 : green + 12], data[red + 4 : red + 12]
    return bytes(data).replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))


async def test_colours_are_brought_to_srgb(decoder):
    """Under a profile that swaps red and green, a picture stored as red is seen as green."""
    data = encoded(Image.new("RGB", SIZE, (220, 20, 20)), "PNG", icc_profile=wide_profile())
    red, green, _ = (await opened(decoder, data)).getpixel((10, 10))
    assert green > 180
    assert red < 100


async def test_a_damaged_profile_is_left_out_of_account(decoder):
    assert_upright(await opened(decoder, make_picture(SIZE, icc_profile=b"not a profile" * 20)))
    cmyk = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert_upright(await opened(decoder, make_picture(SIZE, icc_profile=cmyk)))


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the real photographs are not in this checkout's surroundings")
@pytest.mark.parametrize("name", ["dog6/00.jpg", "dog/00.jpg", "cat/02.jpg"])
async def test_real_photographs_pass(decoder, name):
    path = PHOTOS / name
    stored = await opened(decoder, path.read_bytes())
    with Image.open(path) as source:
        assert stored.size == source.size
