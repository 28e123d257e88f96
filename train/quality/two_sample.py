"""A judge of drawn faces: how well a fresh small network learns to tell them from real ones.

A classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545) with a fixed budget. The pictures are seen at
32 pixels, where texture does not give drawn ones away; what does are eyes that are no pair, colours of two faces in
one, smears. Frechet and kernel distance hardly see these. The judge is trained anew each time and never trains a
generator. Numbers of different budgets cannot be compared.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

SIZE = 32  # pixels that the judge sees
TRAINED, TESTED = 8000, 2000  # pictures of each side, at most
EPOCHS, BATCH = 6, 64
LEAST = 2 * BATCH
LEARNING_RATE, WEIGHT_DECAY, SMOOTHING = 2e-3, 0.05, 0.05
SHIFT = 3  # pixels
STRICT = 0.05  # part of the real pictures that would not pass


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions after BatchNorm and ReLU, added to their input (He et al. 2016, arXiv:1603.05027)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        )
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        skipped: Tensor = self.skip(x)
        return skipped + self.residual(x)


def build_judge(channels: int = 32) -> nn.Sequential:
    """Pictures (N, 3, SIZE, SIZE) in [-1, 1] -> logits (N, 1), positive for real; 0.7 M parameters."""
    c = channels
    return nn.Sequential(
        nn.Conv2d(3, c, 3, padding=1, bias=False),
        ResidualUnit(c, c, 1),
        ResidualUnit(c, 2 * c, 2),
        ResidualUnit(2 * c, 2 * c, 1),
        ResidualUnit(2 * c, 4 * c, 2),
        ResidualUnit(4 * c, 4 * c, 1),
        nn.BatchNorm2d(4 * c),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(16 * c, 1),
    )


def shrink(images: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) -> float (N, 3, SIZE, SIZE) in [-1, 1]."""
    parts = [part.float() / 127.5 - 1 for part in images.split(1000)]
    same = dict(mode="bilinear", antialias=True, align_corners=False)
    return torch.cat([F.interpolate(part, (SIZE, SIZE), **same) for part in parts])


def vary(x: Tensor) -> Tensor:
    """Mirrored, shifted and tinted a little, so that the judge cannot learn its pictures by heart."""
    if torch.rand(()) < 0.5:
        x = x.flip(3)
    down, right = (int(shift) for shift in torch.randint(0, 2 * SHIFT + 1, (2,)))
    padded = F.pad(x, (SHIFT,) * 4, mode="replicate")
    x = padded[:, :, down : down + SIZE, right : right + SIZE]
    gain, offset = (torch.rand(2, len(x), x.shape[1], 1, 1) - 0.5) * 0.2
    return x * (1 + gain) + offset + 0.03 * torch.randn_like(x)


def fit(judge: nn.Module, x: Tensor, y: Tensor, device: str) -> None:
    """Train on pictures ``x`` and what they are, ``y``: 1 real, 0 drawn; AdamW, one cycle of the learning rate."""
    steps = EPOCHS * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, max(steps, 2))
    with tqdm(total=steps, desc="Judge", unit="step") as bar:
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(x)).split(BATCH)[: len(x) // BATCH]:
                seen = vary(x[chosen]).to(device, memory_format=torch.channels_last)
                target = (y[chosen] * (1 - 2 * SMOOTHING) + SMOOTHING).to(device)
                loss = F.binary_cross_entropy_with_logits(judge(seen).flatten(), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()


def two_sample_test(real: Tensor, fake: Tensor, *, seed: int = 0, device: str = "cpu") -> dict[str, float]:
    """Judge ``fake`` by ``real``: uint8 images (N, 3, H, W) of each, in any order, as many as the budget has.

    A fifth of the smaller side, TESTED at most, is kept for the test. Returns ``judge_auc``, the chance that the judge
    puts a real picture before a drawn one (0.5: it cannot tell them); ``judge_accuracy``; ``judge_pass``, the part of
    drawn pictures that look more real than the least real 5% of the real ones (0.95: as real ones do); and
    ``judge_images``, the pictures of each side that it was trained on.

    Raises:
        ValueError: fewer than LEAST pictures on a side.
    """
    n = min(len(real), len(fake))
    if n < LEAST:
        raise ValueError(f"the judge needs at least {LEAST} images of each side, not {n}")
    tested = min(TESTED, n // 5)
    trained = min(TRAINED, n - tested)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        torch.manual_seed(seed)
        real, fake = (shrink(x[torch.randperm(len(x))[: trained + tested]]) for x in (real, fake))
        judge = build_judge().to(device, memory_format=torch.channels_last)
        y = torch.cat([torch.ones(trained), torch.zeros(trained)])
        fit(judge, torch.cat([real[:trained], fake[:trained]]), y, device)
    reals, fakes = (scores(judge.eval(), x[trained:], device) for x in (real, fake))
    return {
        "judge_auc": rank(reals, fakes),
        "judge_accuracy": float(((reals > 0).double().mean() + (fakes <= 0).double().mean()) / 2),
        "judge_pass": float((fakes > reals.quantile(STRICT)).double().mean()),
        "judge_images": trained,
    }


@torch.inference_mode()
def scores(judge: nn.Module, x: Tensor, device: str) -> Tensor:
    """Logits (N,) on the CPU: means over each picture and its mirror image."""
    parts = [part.to(device, memory_format=torch.channels_last) for part in x.split(250)]
    return torch.cat([(judge(part) + judge(part.flip(3))).flatten().cpu() / 2 for part in parts])


def rank(higher: Tensor, lower: Tensor) -> float:
    """The area under the ROC curve: the chance that one of ``higher`` lies above one of ``lower``; a tie is half."""
    order = torch.cat([lower, higher]).double()
    values, places, counts = order.unique(return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1).double() / 2)[places][len(lower) :]  # mean rank of equal values, from 1
    n, m = len(higher), len(lower)
    return float((ranks.sum() - n * (n + 1) / 2) / (n * m))
