"""First steps with compiling: what the compiler's cache was to them, by its own counts."""

import shutil

import pytest
import torch

from trainer.bench.first_step import compiled_first_steps
from trainer.bench.kernels import watching_cache
from trainer.bench.subject import Subject
from trainer.bench.whole import BenchFailed

TOY = Subject("toy", torch.device("cpu"))


@pytest.mark.parametrize(
    ("found", "made", "cache"), [(0, 0, ""), (4, 0, "warm"), (0, 4, "cold"), (2, 2, "partly warm")]
)
def test_what_the_compilers_cache_was_is_told_by_its_own_counts(found, made, cache, compiler):
    compiler["inductor"]["fxgraph_cache_miss"] += 7  # of an earlier first step
    with watching_cache() as watched:
        compiler["inductor"]["fxgraph_cache_hit"] += found
        compiler["inductor"]["fxgraph_cache_miss"] += made
    assert watched.cache == cache


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs one of C++")
def test_a_first_step_is_taken_with_an_empty_cache_and_with_a_full_one(tmp_path):
    cold, warm = compiled_first_steps(TOY, 1, tmp_path)
    assert ("empty" in cold.name, "full" in warm.name) == (True, True)
    assert cold.meaning.endswith("the cache was cold")
    assert warm.meaning.endswith("the cache was warm")
    assert min(cold.value, warm.value) > 0


def test_a_first_step_that_fails_is_told_by_its_last_word(tmp_path):
    with pytest.raises(BenchFailed, match=r"ended with 1: RuntimeError: .*nodevice"):
        compiled_first_steps(Subject("toy", "nodevice"), 1, tmp_path)
