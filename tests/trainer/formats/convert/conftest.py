import pytest

from tests.trainer.formats.loras import CONVOLUTIONS, MODULES, TEXTS, config, state
from trainer.formats.lora_file import save_lora

METADATA = {"ss_base_model_version": "sdxl_base_v1-0", "ss_output_name": "lisaxl", "modelspec.title": "lisaxl é"}
KINDS = {
    "unet": {"modules": MODULES},
    "text encoders": {"modules": (*MODULES, *TEXTS)},
    "convolutions": {"modules": (*MODULES, *CONVOLUTIONS)},
    "dora": {"modules": (*MODULES, *CONVOLUTIONS, *TEXTS), "dora": True},
}


@pytest.fixture(params=KINDS)
def kohya_file(request, tmp_path):
    """A file of ours, with an alpha no binary fraction can hold and another for convolutions."""
    return saved(tmp_path / "in.safetensors", **KINDS[request.param])


@pytest.fixture
def plain_file(tmp_path):
    return saved(tmp_path / "in.safetensors", modules=MODULES)


def saved(path, *, modules, dora=False, precision="fp16"):
    settings = config(alpha=92.3, conv_rank=2, conv_alpha=0.7, decompose=dora, file_precision=precision)
    save_lora(path, state(modules, dora=dora), config=settings, layers_per_block=2, metadata=METADATA)
    return path
