"""The toy VAE: SDXL's `AutoencoderKL` with narrow layers, factor 8, four latent channels.

It is trained on a wider world than the UNet (any colours, marks anywhere, plain shapes), so that a look the UNet has
never drawn is still one that latents can say: trained on plain avatars alone it drew an unseen hair colour wrong and
lost small marks.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image, ImageDraw
from torch import Tensor, nn

from trainer.toy.avatars import HAIR, draw, random_avatar
from trainer.toy.averaging import add_outer_level, start_as_average
from trainer.toy.drawing import RGB, Paints, star
from trainer.toy.loop import Place, Recipe, train

SIZE = 128
"""Side of the toy world's pictures in pixels; latents are `(b, 4, 16, 16)`."""

CORE_SIZE = 64
"""Side of the pictures that the inner three of the four levels are trained on: a quarter of the work."""

CORE_CHANNELS = (24, 48, 64)
CHANNELS = (24, *CORE_CHANNELS)

KL_WEIGHT = 3e-4
"""Weight of the mean KL per latent value beside the mean absolute error: enough to keep latents near unit scale."""

EDGE_WEIGHT = 4.0
"""Extra weight of pixels at edges, where eyes, frames and mouths live; flat colour is easy and most of the area."""

CORE = Recipe(name="vae-core", steps=700, batch=8, rate=7e-4, warmup=100)
"""Encoder and decoder at 64 px."""

RECIPE = Recipe(name="vae", steps=400, batch=4, rate=7e-4, warmup=20, average=0.99)
"""The whole decoder at 128 px, the encoder frozen."""


def new_vae(channels: Sequence[int] = CHANNELS) -> AutoencoderKL:
    """An untrained toy VAE with SDXL's block kinds, a factor of 2 for each level but one; under 1 M weights."""
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * len(channels),
        up_block_types=["UpDecoderBlock2D"] * len(channels),
        block_out_channels=tuple(channels),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=16 * 2 ** (len(channels) - 1),
        force_upcast=False,
    )


def to_tensor(images: Sequence[Image.Image]) -> Tensor:
    """RGB pictures of one size as `(b, 3, h, w)` float32 in -1..1."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2) / 127.5 - 1.0


def to_images(pixels: Tensor) -> list[Image.Image]:
    """`(b, 3, h, w)` in -1..1 as RGB pictures."""
    scaled = ((pixels.float().clamp(-1, 1) + 1.0) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(array) for array in scaled]


def any_colour(rng: np.random.Generator) -> RGB:
    """A colour of any hue, grey to vivid, dark to light."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.random() ** 0.6, 1.0 - 0.85 * rng.random() ** 1.5)
    return int(red * 255), int(green * 255), int(blue * 255)


def shapes(rng: np.random.Generator, size: int) -> Image.Image:
    """A picture of a few random ellipses, boxes, stars and lines."""
    canvas = 4 * size
    image = Image.new("RGB", (canvas, canvas), any_colour(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 9))):
        x, y = rng.random(2)
        rx, ry = 0.02 + 0.25 * rng.random(2) ** 2
        box = ((x - rx) * canvas, (y - ry) * canvas, (x + rx) * canvas, (y + ry) * canvas)
        kind, colour = int(rng.integers(5)), any_colour(rng)
        if kind == 0:
            pen.ellipse(box, fill=colour)
        elif kind == 1:
            pen.rounded_rectangle(box, radius=0.02 * canvas, fill=colour)
        elif kind == 2:
            pen.polygon([(px * canvas, py * canvas) for px, py in star(x, y, rx + 0.02)], fill=colour)
        elif kind == 3:
            pen.ellipse(box, outline=colour, width=int(canvas * rng.uniform(0.01, 0.03)))
        else:
            pen.line(box, fill=colour, width=int(canvas * rng.uniform(0.01, 0.03)))
    return image.resize((size, size), Image.Resampling.BOX)


def wide_picture(rng: np.random.Generator, size: int = SIZE) -> Image.Image:
    """One picture of the VAE's world: half avatars of every named colour, a third in any colours, the rest shapes."""
    kind = rng.random()
    if kind > 0.85:
        return shapes(rng, size)
    avatar = random_avatar(rng, hair=tuple(HAIR), marks=0.4)
    if kind < 0.5:
        return draw(avatar, size)
    paints = Paints(*(any_colour(rng) for _ in range(5)))
    return draw(avatar, size, paints)


def reconstruction_loss(wanted: Tensor, got: Tensor) -> Tensor:
    """Mean absolute error `(b, 3, h, w)`, edges of the wanted picture weighing up to `1 + EDGE_WEIGHT`."""
    across = nn.functional.pad((wanted[..., :, 1:] - wanted[..., :, :-1]).abs(), (0, 1, 0, 0))
    down = nn.functional.pad((wanted[..., 1:, :] - wanted[..., :-1, :]).abs(), (0, 0, 0, 1))
    edge = (across + down).mean(1, keepdim=True).clamp(max=1.0)
    edge = nn.functional.max_pool2d(edge, 3, stride=1, padding=1)
    return ((got - wanted).abs() * (1.0 + EDGE_WEIGHT * edge)).mean()


def train_core(recipe: Recipe, place: Place) -> tuple[AutoencoderKL, list[float]]:
    """Train the inner levels from nothing at 64 px; returns them with the loss of every step."""
    torch.manual_seed(recipe.seed)
    vae = new_vae(CORE_CHANNELS).to(place.device, memory_format=torch.channels_last)
    rng = np.random.default_rng(recipe.seed)
    start_as_average(vae, to_tensor([wide_picture(rng, CORE_SIZE) for _ in range(32)]).to(place.device))

    def loss_of(rng: np.random.Generator) -> Tensor:
        pixels = to_tensor([wide_picture(rng, CORE_SIZE) for _ in range(recipe.batch)]).to(place.device)
        posterior = vae.encode(pixels.to(memory_format=torch.channels_last)).latent_dist
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1.0 - posterior.logvar).mean()
        drawn = vae.decode(posterior.sample()).sample
        loss: Tensor = reconstruction_loss(pixels, drawn) + nn.functional.mse_loss(drawn, pixels) + KL_WEIGHT * kl
        return loss

    return vae, train(vae, loss_of, recipe, place)


def widened(core: AutoencoderKL) -> AutoencoderKL:
    """The core with an outer level that halves and doubles the side, and the scaling factor of its latents.

    Its encoder is final. The base model can be trained on it while the decoder still learns.
    """
    device = core.device
    vae = new_vae().to(device, memory_format=torch.channels_last)
    add_outer_level(vae, core)
    vae.register_to_config(scaling_factor=1.0 / latent_deviation(vae, device))
    return vae.eval()


def train_decoder(vae: AutoencoderKL, recipe: Recipe, place: Place) -> list[float]:
    """Train the decoder of a widened VAE at 128 px, in place; returns the loss of every step."""
    vae.to(place.device)

    def loss_of(rng: np.random.Generator) -> Tensor:
        pictures = to_tensor([wide_picture(rng) for _ in range(recipe.batch)])
        pixels = pictures.to(place.device, memory_format=torch.channels_last)
        with torch.no_grad():
            latents = vae.encode(pixels).latent_dist.sample()
        drawn = vae.decode(latents).sample
        return reconstruction_loss(pixels, drawn) + nn.functional.mse_loss(drawn, pixels)

    return train(nn.ModuleList([vae.post_quant_conv, vae.decoder]), loss_of, recipe, place)


@torch.no_grad()
def latent_deviation(vae: AutoencoderKL, device: torch.device, pictures: int = 128) -> float:
    """Standard deviation of the latents of avatars in the base's range."""
    rng = np.random.default_rng(99)
    batches = [to_tensor([draw(random_avatar(rng), SIZE) for _ in range(16)]) for _ in range(pictures // 16)]
    latents = torch.cat([vae.encode(batch.to(device)).latent_dist.sample() for batch in batches])
    return float(latents.std())
