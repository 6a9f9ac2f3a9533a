"""Samplers: each one's steps against its formula written out, and all with a model that knows the answer."""

import typing

import numpy as np
import pytest
import torch

from trainer.contract.config import Sampler
from trainer.errors import BadSample
from trainer.model.base import load_base
from trainer.sampling.draw import Drawing, draw
from trainer.sampling.samplers import A1111_NAMES, sampler_named, solver
from trainer.sampling.sde import _brownian
from trainer.toy.assets import base_folder

SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
ALL = typing.get_args(Sampler)
NOISY = {"dpm++ sde karras", "euler a"}
SHAPE = (4, 4, 4)

BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
ALPHAS = torch.cumprod(1 - BETAS, 0)
SIGMAS = ((1 - ALPHAS) / ALPHAS) ** 0.5


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise(sources):
    return torch.stack([torch.randn(SHAPE, generator=source) for source in sources])


def run(sampler, steps, predict, seeds=(1, 2), **settings):
    """Latents of a sampler whose noise continues each picture's own generator."""
    sources = generators(*seeds)
    return solver(sampler, {**SDXL, **settings}, steps).run(noise(sources), sources, predict, lambda: None)


def smooth(x, timestep):
    """Any smooth function of both will do as a model that predicts epsilon."""
    return torch.tanh(x + 0.3 * timestep / 1000)


def denoised(x, sigma, timestep):
    """What `smooth` takes for the picture without noise, in k-diffusion's latents of growing variance."""
    return x - sigma * smooth(x / (1 + sigma**2) ** 0.5, timestep)


def sigma_to_t(sigma):
    """k-diffusion's timestep of a noise level, with its fraction."""
    logs, log = SIGMAS.log(), sigma.log()
    low = int((logs <= log).sum().clamp(1, 999)) - 1
    return low + ((log - logs[low]) / (logs[low + 1] - logs[low])).clamp(0, 1)


def ancestral_step(start, end):
    """k-diffusion's get_ancestral_step with eta 1: where to go without noise, and how much to add."""
    up = torch.minimum(end, (end**2 * (start**2 - end**2) / start**2) ** 0.5)
    return (end**2 - up**2) ** 0.5, up


# --- each sampler's own formula ---------------------------------------------------------------------------------------
def euler_formula(steps, sources, *, ancestral):
    """sample_euler and sample_euler_ancestral over the noise levels of timesteps from 999 to 0."""
    timesteps = torch.linspace(999, 0, steps, dtype=torch.float64) if steps > 1 else torch.tensor([999.0])
    sigmas = torch.cat([SIGMAS[timesteps.long()], torch.zeros(1, dtype=torch.float64)])
    x = noise(sources).double() * sigmas[0]
    for i, timestep in enumerate(timesteps):
        slope = (x - denoised(x, sigmas[i], timestep)) / sigmas[i]
        down, up = ancestral_step(sigmas[i], sigmas[i + 1]) if ancestral else (sigmas[i + 1], torch.zeros(1))
        x = x + slope * (down - sigmas[i])
        if ancestral and sigmas[i + 1] > 0:
            x = x + noise(sources) * up
    return x


@pytest.mark.parametrize("steps", [1, 4, 10, 28])  # 999 / (steps - 1) is whole: no interpolation between timesteps
@pytest.mark.parametrize("name", ["euler", "euler a"])
def test_euler_is_k_diffusions(name, steps):
    wanted = euler_formula(steps, generators(1, 2), ancestral=name == "euler a")
    assert (run(name, steps, smooth) - wanted).abs().max() < 1e-4


def karras(steps):
    """k-diffusion's get_sigmas_karras with rho 7 over the whole training range."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = SIGMAS[0] ** (1 / 7), SIGMAS[-1] ** (1 / 7)
    return torch.cat([(high + ramp * (low - high)) ** 7, torch.zeros(1, dtype=torch.float64)])


def dpm_2m_formula(sigmas, x):
    """sample_dpmpp_2m (Lu et al. 2022, arXiv:2211.01095, algorithm 2), with timesteps rounded as diffusers does."""
    previous = None
    for i in range(len(sigmas) - 1):
        now = denoised(x, sigmas[i], sigma_to_t(sigmas[i]).round())
        t, t_next = -torch.log(sigmas[i]), -torch.log(sigmas[i + 1])
        h = t_next - t
        if previous is None or sigmas[i + 1] == 0:
            mixed = now
        else:
            r = (t + torch.log(sigmas[i - 1])) / h
            mixed = (1 + 1 / (2 * r)) * now - previous / (2 * r)
        x = (sigmas[i + 1] / sigmas[i]) * x - torch.expm1(-h) * mixed
        previous = now
    return x


@pytest.mark.parametrize("steps", [1, 2, 5, 30])
def test_dpm_2m_karras_is_k_diffusions(steps):
    sigmas = karras(steps)
    # k-diffusion begins at noise times sigma, diffusers at noise times (1 + sigma^2)^0.5: 0.2 % more.
    wanted = dpm_2m_formula(sigmas, noise(generators(1, 2)) * (1 + sigmas[0] ** 2) ** 0.5)
    assert (run("dpm++ 2m karras", steps, smooth) - wanted).abs().max() < 2e-3


def dpm_sde_formula(sigmas, sources):
    """sample_dpmpp_sde with eta 1, s_noise 1, r 1/2, as it is written there."""
    x = noise(sources) * sigmas[0]
    for i in range(len(sigmas) - 1):
        now = denoised(x, sigmas[i], sigma_to_t(sigmas[i]))
        if sigmas[i + 1] == 0:
            return now
        t, t_next = -sigmas[i].log(), -sigmas[i + 1].log()
        middle = (-(t + (t_next - t) / 2)).exp()
        first, rest = noise(sources), noise(sources)
        whole = ((sigmas[i] - middle) ** 0.5 * first + (middle - sigmas[i + 1]) ** 0.5 * rest) / (
            sigmas[i] - sigmas[i + 1]
        ) ** 0.5
        down, up = ancestral_step(sigmas[i], middle)
        x_2 = (down / sigmas[i]) * x - (t + down.log()).expm1() * now + first * up
        now_2 = denoised(x_2, middle, sigma_to_t(middle))
        down, up = ancestral_step(sigmas[i], sigmas[i + 1])
        x = (down / sigmas[i]) * x - (t + down.log()).expm1() * now_2 + whole * up
    return x


@pytest.mark.parametrize("steps", [1, 2, 20])
def test_dpm_sde_karras_is_k_diffusions(steps):
    wanted = dpm_sde_formula(karras(steps), generators(1, 2))
    assert (run("dpm++ sde karras", steps, smooth) - wanted).abs().max() < 2e-3


def test_the_two_noises_of_a_step_belong_to_one_brownian_path():
    first, whole = _brownian(torch.empty(1, 400_000), generators(1), 9.0, 5.0, 1.0)
    assert first.std() == pytest.approx(1, abs=0.01)
    assert whole.std() == pytest.approx(1, abs=0.01)
    assert (first * whole).mean() == pytest.approx((4 / 8) ** 0.5, abs=0.01)


@pytest.mark.parametrize("steps", [4, 10, 30])
def test_ddim_is_a1111s(steps):
    """Song et al. 2020 (arXiv:2010.02502), equation 12 with sigma 0, over timesteps 1, 1 + 1000 // steps, …"""
    stride = 1000 // steps
    x = noise(generators(1, 2)).double()
    for timestep in reversed(range(1, 1 + stride * steps, stride)):
        now, before = ALPHAS[timestep], ALPHAS[max(timestep - stride, 0)]
        epsilon = smooth(x, timestep)
        x = before**0.5 * (x - (1 - now) ** 0.5 * epsilon) / now**0.5 + (1 - before) ** 0.5 * epsilon
    assert (run("ddim", steps, smooth) - x).abs().max() < 1e-4


def test_unipc_has_a1111s_settings_and_timesteps():
    scheduler = solver("unipc", SDXL, 10).scheduler
    scheduler.set_timesteps(10)
    assert scheduler.timesteps.tolist() == [999, 899, 799, 699, 599, 500, 400, 300, 200, 100]
    assert scheduler.sigmas[-1] == pytest.approx(float(SIGMAS[0]), rel=1e-4)
    assert (scheduler.config.solver_order, scheduler.config.solver_type, scheduler.config.predict_x0) == (
        3,
        "bh1",
        True,
    )


# --- all of them ------------------------------------------------------------------------------------------------------
def test_samplers_without_noise_reach_the_same_end_and_the_higher_orders_sooner():
    exact = run("euler", 1000, smooth)

    def error(name, steps):
        return float((run(name, steps, smooth) - exact).abs().max() / exact.abs().max())

    for name in ALL:
        # DDIM begins 5 timesteps later than the others, and some with 0.2 % more noise than Euler.
        assert (error(name, 200) < 0.03) is (name not in NOISY), name
    assert max(error("unipc", 20), error("dpm++ 2m karras", 20)) < 0.5 * error("euler", 20)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("prediction", "zero_snr"), [("epsilon", False), ("v_prediction", False), ("v_prediction", True)]
)
def test_a_model_that_knows_the_picture_draws_it(name, prediction, zero_snr):
    settings = {"prediction_type": prediction, "rescale_betas_zero_snr": zero_snr}
    alphas = solver("euler", {**SDXL, **settings}, 1).scheduler.alphas_cumprod
    wanted = torch.randn(SHAPE, generator=torch.Generator().manual_seed(9))

    def knowing(x, timestep):
        alpha = torch.lerp(alphas[int(timestep)], alphas[min(int(timestep) + 1, 999)], float(timestep) % 1)
        epsilon = (x - alpha**0.5 * wanted) / (1 - alpha) ** 0.5
        return epsilon if prediction == "epsilon" else alpha**0.5 * epsilon - (1 - alpha) ** 0.5 * wanted

    drawn = run(name, 20, knowing, **settings)
    assert (drawn - wanted).abs().max() < 0.15
    assert (drawn - wanted).abs().mean() < 0.04


@pytest.mark.parametrize("name", ALL)
def test_latents_depend_on_their_own_seed_alone(name):
    together, alone = run(name, 5, smooth, seeds=(1, 2, 3)), run(name, 5, smooth, seeds=(2,))
    assert (together[1] - alone[0]).abs().max() < 1e-5
    assert (together[1] - together[0]).abs().max() > 0.1
    assert torch.equal(alone, run(name, 5, smooth, seeds=(2,)))


@pytest.mark.parametrize("name", ALL)
def test_each_step_is_told(name):
    told, sources = [], generators(1)
    solver(name, SDXL, 3).run(noise(sources), sources, smooth, lambda: told.append(1))
    assert len(told) == 3


@pytest.mark.parametrize("name", ALL)
def test_the_bases_taste_in_sampling_is_not_kept(name):
    """diffusers refuses `use_beta_sigmas` beside Karras, and would clip a toy's latents."""
    taste = {"use_beta_sigmas": True, "timestep_spacing": "trailing", "final_sigmas_type": "sigma_min"}
    assert torch.equal(run(name, 3, smooth, **taste, clip_sample=True, set_alpha_to_one=True), run(name, 3, smooth))


# --- names ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "name"),
    [
        *((name, name) for name in ALL),
        ("DPM++ 2M Karras", "dpm++ 2m karras"),
        ("DPM++ 2M", "dpm++ 2m karras"),
        ("k_dpmpp_sde_karras", "dpm++ sde karras"),
        ("dpm++ sde", "dpm++ sde karras"),
        ("Euler A", "euler a"),
        ("euler_ancestral", "euler a"),
        ("  EULER ", "euler"),
        ("Uni-PC", "unipc"),
        ("DDIM", "ddim"),
    ],
)
def test_names_are_matched_leniently(text, name):
    assert sampler_named(text) == name


@pytest.mark.parametrize(("text", "near"), [("Eular a", "euler a"), ("dpm++ 3m karras", "dpm++ 2m karras"), ("", "")])
def test_an_unknown_name_is_told_the_nearest(text, near):
    with pytest.raises(BadSample) as error:
        sampler_named(text)
    assert near in str(error.value)


def test_every_sampler_has_a1111s_name():
    assert list(A1111_NAMES) == list(ALL)


# --- a base that has learned something --------------------------------------------------------------------------------
def test_on_the_toy_base_samplers_without_noise_draw_the_same_picture():
    base = load_base(str(base_folder()), device=torch.device("cpu"), dtype=torch.float32)

    def picture(name):
        drawing = Drawing(size=(128, 128), steps=8, guidance=2.0, sampler=name)
        [image] = draw(base, ["woman, red hair, blue shirt, yellow background"], [1], drawing)
        return np.asarray(image, dtype=np.float32)

    karras = picture("dpm++ 2m karras")
    assert np.abs(picture("unipc") - karras).mean() < 8
    assert np.abs(picture("ddim") - karras).mean() < 8
    for name in NOISY:
        assert np.abs(picture(name) - karras).mean() > 8
