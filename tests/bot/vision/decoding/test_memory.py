"""What decoding may cost: the peak memory of the process for hostile files and for the largest ones allowed."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from bot.config import IntakeConfig
from bot.workers.child import worker_command, worker_environment
from tests.bot.conftest import encoded
from tests.bot.vision.decoding.test_hostile import HOSTILE
from tests.bot.vision.decoding.test_pictures import wide_profile

pytestmark = pytest.mark.slow

MOST_MEGABYTES = 600
LARGE = (8000, 5000)
"""Pixels: exactly the most that is taken."""
# The kernel counts what a process held before it became the worker: a small one must start it.
DRIVER = """
import json, os, subprocess, sys
command, environment = json.loads(sys.argv[1])
for path in sys.argv[2:]:
    with open(path, "rb") as source:
        worker = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, env=environment)
        head = worker.stdout.read(400)
        while worker.stdout.read(1 << 20):
            pass
        _, _, usage = os.wait4(worker.pid, 0)
        worker.returncode = 0
    print(json.dumps([path, usage.ru_maxrss // 1024, head.split(b"\\n")[0].decode("ascii", "replace")]))
"""


def peaks(folder) -> dict[str, tuple[int, dict]]:
    """Megabytes and answer by file name, of a worker for each file in the folder."""
    limits = IntakeConfig()
    command = worker_command(
        "bot.vision.decoding.decode_worker",
        *(str(limits.decode_memory_bytes), "60", str(int(limits.max_megapixels * 1e6)), str(limits.min_side)),
    )
    how = json.dumps([command, worker_environment()])
    paths = sorted(map(str, folder.iterdir()))
    done = subprocess.run([sys.executable, "-c", DRIVER, how, *paths], check=True, capture_output=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {os.path.basename(path): (megabytes, json.loads(head)) for path, megabytes, head in found}  # noqa: PTH119


def test_no_hostile_file_takes_much_memory(tmp_path):
    for name, (make, _) in HOSTILE.items():
        if data := make():
            (tmp_path / name).write_bytes(data)
    found = peaks(tmp_path)
    assert len(found) >= 30
    assert max(megabytes for megabytes, _ in found.values()) < MOST_MEGABYTES
    assert not any(head["ok"] for _, head in found.values())


def sideways() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_the_largest_pictures_stay_within_it(tmp_path):
    """Each way that costs most: turned, of another colour space, see-through, of 16 bits, of four colours."""
    small = Image.effect_noise((250, 250), 60).convert("RGB")
    large = small.resize(LARGE, Image.Resampling.NEAREST)
    grey = large.convert("L")
    clear = Image.merge("RGBA", (grey, grey, grey, grey))
    turned = {"exif": sideways(), "icc_profile": wide_profile()}
    files = {
        "turned.png": encoded(large, "PNG", compress_level=1, **turned),
        "turned.jpg": encoded(large, "JPEG", quality=80, **turned),
        "four.jpg": encoded(large.convert("CMYK"), "JPEG", quality=70),
        "clear.png": encoded(clear, "PNG", compress_level=1, exif=sideways()),
        "deep.png": encoded(Image.new("I;16", LARGE, 30_000), "PNG", compress_level=1),
        "clear.webp": encoded(clear.crop((0, 0, 5600, 5000)), "WEBP", method=0, quality=30, **turned),
        "over.webp": encoded(clear.crop((0, 0, 8000, 4000)), "WEBP", method=0, quality=30),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = peaks(tmp_path)
    assert {name: megabytes for name, (megabytes, _) in found.items() if megabytes >= MOST_MEGABYTES} == {}
    assert {name: head for name, (_, head) in found.items() if not head["ok"]} == {
        "over.webp": {"ok": False, "why": "memory"}
    }
