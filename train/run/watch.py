"""Early warnings of a training that no longer gets better."""

import torch
import torch.nn.functional as F
from torch import Tensor

from train.config import TrainConfig


def diversity(images: Tensor) -> float:
    """Mean distance of images (N, C, H, W) to their nearest neighbour, seen at 8x8 pixels.

    Unlike the mean over all pairs it also falls when many images share a few looks.
    """
    features = F.adaptive_avg_pool2d(images.float(), 8).flatten(1)
    distances = torch.cdist(features, features)
    return float(distances.fill_diagonal_(torch.inf).amin(1).mean())


def new_warnings(metrics: list[dict], config: TrainConfig) -> dict[str, str]:
    """What the last line of metrics.jsonl gives reason for: a sentence by kind; each kind comes once in a run.

    accuracy: D was right on more than ``warn_accuracy`` of real and of drawn images for all of ``warn_kimg``.
    diversity: after ``warn_kimg`` the same 64 seeds differ less than ``warn_diversity`` times as much as real images.
    """
    last, found = metrics[-1], {}
    start = last["kimg"] - config.warn_kimg
    recent = [line for line in metrics if line["kimg"] > start]
    right = min(min(line["accuracy_real"], line["accuracy_fake"]) for line in recent)
    if start >= 0 and right > config.warn_accuracy:
        found["accuracy"] = (
            f"for {config.warn_kimg:g} kimg the discriminator was right on more than {config.warn_accuracy:.0%} of "
            "real and of drawn images, so the generator has little to learn from; raise --penalty_gamma, lower "
            "--d_learning_rate, or give more pictures"
        )
    if start >= 0 and last.get("diversity", 1) < config.warn_diversity:
        found["diversity"] = (
            f"the drawn images differ only {last['diversity']:.2f} times as much from each other as real ones, so the "
            "generator may be collapsing; go back to an earlier checkpoint with a lower --learning_rate or a higher "
            "--penalty_gamma, and keep --minibatch_std"
        )
    earlier = {kind for line in metrics for kind in line.get("warnings", ())}
    return {kind: sentence for kind, sentence in found.items() if kind not in earlier}
