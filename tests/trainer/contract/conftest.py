"""Fixtures of the contract's tests."""

import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 kB with 32 kB of ballast to throw off; skips where mounting is not allowed."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    (path / "ballast").write_bytes(b"x" * 32_768)
    yield path
    subprocess.run(["umount", str(path)], check=True)
