"""Half precision with scaled gradients, on a CPU that stands in for a GPU: CUDA's own scaler and kernels need one."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from model import Discriminator, Generator
from train.config import TrainConfig
from train.data.dataset import ImageSet
from train.errors import UserError
from train.run.checkpoint import checkpoints
from train.run.hardware import training_device, use_gpu
from train.run.precision import check_precision
from train.run.record import device_name
from train.run.trainer import Trainer
from train.train import main


@pytest.fixture
def new_trainer(tmp_path) -> Callable[..., Trainer]:
    """Makes a tiny trainer in a precision; fp16 as Accelerate sets it up for a GPU."""

    def make(precision: str = "fp16", **options) -> Trainer:
        AcceleratorState._reset_state(reset_partial_state=True)
        config = TrainConfig(
            train_data_dir="x", output_dir=str(tmp_path / "run"), resolution=32, g_channels=4, d_channels=4,
            latent_dim=8, train_batch_size=8, max_train_kimg=0.064, checkpointing_kimg=1, sample_kimg=1,
            penalty_interval=2, lr_schedule="constant", **options,
        )  # fmt: skip
        steps = config.gradient_accumulation_steps
        accelerator = Accelerator(cpu=True, mixed_precision=precision, gradient_accumulation_steps=steps)
        if precision == "fp16":
            accelerator.native_amp, accelerator.scaler = True, torch.amp.GradScaler("cpu", init_scale=2.0**10)
        images = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
        torch.manual_seed(0)
        networks = Generator(8, 4, 32), Discriminator(4, 32)
        trainer = Trainer(config, accelerator, ImageSet(images, "x", "x", 24, [], []), *networks)
        trainer.folder.mkdir(exist_ok=True)
        return trainer

    yield make
    AcceleratorState._reset_state(reset_partial_state=True)


def seen_types(trainer: Trainer) -> list[torch.dtype]:
    """Filled with the type that the discriminator's first layer computes in, call by call."""
    types: list[torch.dtype] = []
    layer = next(m for m in trainer.accelerator.unwrap_model(trainer.D).modules() if isinstance(m, nn.Conv2d))
    layer.register_forward_hook(lambda module, inputs, output: types.append(output.dtype))
    return types


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("half", ["fp16", "bf16"])
def test_half_precision_learns_what_float32_does_and_fp16s_penalties_are_float32(new_trainer, half):
    losses, changed = {}, {}
    for precision in ("no", half):
        trainer = new_trainer(precision)
        trainer.start(None)
        types, before = seen_types(trainer), weights(trainer.D)
        assert trainer.run() == 0
        lines = [json.loads(line) for line in (trainer.folder / "metrics.jsonl").open()]
        losses[precision] = [[line[name] for name in ("loss_d", "loss_g", "penalty")] for line in lines]
        changed[precision] = weights(trainer.D) - before
        low = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
        exact = torch.float32 if precision == "fp16" else low
        # Each step: D on real and drawn images for its own loss, then on both for the generator's.
        assert types == 4 * [exact, exact, low, low, low, low, low, low]
    assert np.allclose(losses[half], losses["no"], rtol=0.02) and np.array(losses["no"]).all()
    cosine = torch.cosine_similarity(changed[half], changed["no"], dim=0)
    assert cosine > 0.9 and changed[half].isfinite().all()


def test_an_overflow_of_one_network_leaves_the_others_scale_and_step(new_trainer):
    trainer = new_trainer()
    trainer.start(None)
    D, G = trainer.accelerator.unwrap_model(trainer.D), trainer.accelerator.unwrap_model(trainer.G)
    parameter = next(D.parameters())
    handle = parameter.register_hook(lambda gradient: gradient * torch.inf)
    before = weights(D), weights(G)
    trainer.advance()
    handle.remove()
    assert torch.equal(weights(D), before[0]) and not torch.equal(weights(G), before[1])
    assert (trainer.opt_d.scaler.get_scale(), trainer.opt_g.scaler.get_scale()) == (2.0**9, 2.0**16)
    trainer.advance()
    assert not torch.equal(weights(D), before[0]) and weights(D).isfinite().all()


def test_a_resume_goes_on_with_both_scales(new_trainer):
    def trained(trainer: Trainer, steps: int) -> Trainer:
        for _ in range(steps):
            trainer.advance()
        return trainer

    first = new_trainer()
    first.start(None)
    first.opt_g.scaler.load_state_dict(first.opt_g.scaler.state_dict() | {"scale": 2.0**8, "_growth_tracker": 1999})
    trained(first, 2).save()
    assert first.opt_g.scaler.get_scale() == 2.0**9  # grown once; the tracker is in the checkpoint too
    kept = {"scales": (first.opt_d.scaler.state_dict(), first.opt_g.scaler.state_dict())}
    (path,) = checkpoints(first.folder / "checkpoints")
    trained(first, 3)
    again = new_trainer()
    again.start(path)
    assert (again.opt_d.scaler.state_dict(), again.opt_g.scaler.state_dict()) == kept["scales"]
    trained(again, 3)
    assert torch.equal(weights(again.G), weights(first.G)) and torch.equal(weights(again.D), weights(first.D))


@pytest.mark.parametrize("before, after", [("no", "fp16"), ("fp16", "no")])
def test_a_run_may_go_on_in_another_precision(new_trainer, before, after):
    first = new_trainer(before)
    first.start(None)
    first.advance()
    first.save()
    (path,) = checkpoints(first.folder / "checkpoints")
    again = new_trainer(after)
    again.start(path)
    assert torch.equal(weights(again.D), weights(first.D))
    again.advance()
    assert weights(again.D).isfinite().all() and (again.opt_g.scaler is None) == (after == "no")


@pytest.mark.parametrize(
    "device, options, words",
    [
        ("cpu", {"mixed_precision": "fp16"}, "--mixed_precision: fp16 needs a CUDA GPU, and this is a CPU"),
        ("mps", {"mixed_precision": "fp16"}, "--mixed_precision: fp16 needs a CUDA GPU, and this is an Apple GPU"),
        ("mps", {"mixed_precision": "bf16"}, "--mixed_precision: an Apple GPU trains in float32"),
        (
            "mps",
            {"compile": True, "mixed_precision": "no"},
            "--compile: compiled networks do not train on an Apple GPU",
        ),
    ],
)
def test_what_a_device_cannot_do_is_refused(device, options, words):
    with pytest.raises(UserError, match=words):
        check_precision(TrainConfig(train_data_dir="x", **options), torch.device(device))


@pytest.mark.parametrize("capabilities, precision", [
    ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "no"),
    ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
    ({"amx_bf16": True}, "bf16"),
    ({}, "no"),
])  # fmt: skip
def test_auto_is_bf16_on_a_cpu_with_instructions_for_it(monkeypatch, capabilities, precision):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    assert TrainConfig(train_data_dir="x").precision == precision
    assert TrainConfig(train_data_dir="x", mixed_precision="no").precision == "no"
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    assert TrainConfig(train_data_dir="x").precision == "no"  # an Apple GPU in a machine with such a CPU


def test_what_a_device_can_do_is_not():
    for device, precision in (("cuda", "fp16"), ("cuda", "bf16"), ("mps", "no"), ("cpu", "bf16")):
        check_precision(TrainConfig(train_data_dir="x", mixed_precision=precision), torch.device(device))
    assert device_name(torch.device("mps")) == "Apple GPU (MPS)"


def test_the_refusal_is_what_the_command_says(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)  # a machine without a GPU
    options = ["--train_data_dir", tmp_path, "--output_dir", tmp_path / "out", "--mixed_precision", "fp16"]
    assert main(list(map(str, options))) == 2
    assert capsys.readouterr().err.startswith("train.py: --mixed_precision: fp16 needs a CUDA GPU")
    assert not (tmp_path / "out").exists()


def test_a_gpu_is_chosen_and_set_up(monkeypatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda: torch.device("mps"))
    assert training_device().type == "mps"
    before = torch.get_float32_matmul_precision()
    monkeypatch.setattr("torch.backends.cudnn.benchmark", False)
    try:
        use_gpu(torch.device("cpu"))
        assert not torch.backends.cudnn.benchmark and torch.get_float32_matmul_precision() == before
        use_gpu(torch.device("cuda"))
        assert torch.backends.cudnn.benchmark and torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
