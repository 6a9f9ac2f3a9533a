"""Training sets without pictures, a VAE or a disk."""

from collections.abc import Sequence

from torch import Tensor

from trainer.contract.config import TrainConfig
from trainer.data.buckets import Bucket, fit
from trainer.data.dataset import Encoded, TrainingSet, View
from trainer.data.preserved import KeptCaptions
from trainer.data.texts import TextCache


def training_set(
    captions: Sequence[str],
    latents: Sequence[Tensor],
    texts: TextCache,
    config: TrainConfig,
    *,
    scaling_factor: float = 0.13025,
    trigger: str = "",
) -> TrainingSet:
    """One picture a caption, of the size of its latent `(2, 4, h/8, w/8)`, shown whole."""
    pictures = []
    for caption, latent in zip(captions, latents, strict=True):
        height, width = (8 * side for side in latent.shape[-2:])
        pictures.append(Encoded(caption=caption, views=(View(fit(width, height, Bucket(width, height)), latent),)))
    return TrainingSet(pictures, texts, scaling_factor, config, KeptCaptions(trigger))
