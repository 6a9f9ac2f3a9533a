"""The lab, opened and closed."""

import pytest

from tests.bot.jobs.lab import Lab


@pytest.fixture
async def lab(tmp_path, request):
    """A bot without a trainer, a dataset or a job yet; parametrized indirectly with the names of its services."""
    opened = Lab(tmp_path, getattr(request, "param", ("gpu0",)))
    await opened.open()
    yield opened
    await opened.close()
