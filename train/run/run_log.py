"""What a training has behind it."""

import torch

STATS = ("loss_d", "loss_g", "accuracy_real", "accuracy_fake", "penalty")


class Progress:
    """Counters that a checkpoint carries: images seen, steps, seconds, sums of the statistics since the last line."""

    def __init__(self, device: torch.device) -> None:
        self.seen, self.steps, self.seconds, self.count = 0, 0, 0.0, 0
        self.sums = torch.zeros(len(STATS), device=device)

    def state_dict(self) -> dict:
        return vars(self).copy()

    def load_state_dict(self, state: dict) -> None:
        vars(self).update(state, sums=state["sums"].to(self.sums.device))
