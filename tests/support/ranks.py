"""Runs train.py's command and prints how the processes stand to each other; one of those that torchrun starts.

The variable NO_BATCH_NORM takes the generator's BatchNorm out; DIE_AT_STEP lets the last process kill itself.
"""

import json
import os
import signal

import torch
from torch import nn

from train import train
from train.run import setup
from train.run.interrupt import leave
from train.run.trainer import Trainer


class Watched(Trainer):
    def step(self, real, draws):
        if self.progress.steps == int(os.environ.get("DIE_AT_STEP", -1)) and self.accelerator.is_last_process:
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.progress.steps:
            self.first, self.losses, self.latents = real.flatten(1)[:, ::97].clone(), [], []
        normal = draws.normal
        draws.normal = lambda columns: self.latents.append(normal(columns)) or self.latents[-1]
        stats = super().step(real, draws)
        self.losses.append(torch.stack(stats[:2]))
        return stats

    def run(self):
        code = super().run()
        networks = (self.G, self.D, self.ema.model)
        report = {
            "processes": self.accelerator.num_processes,
            "steps": self.progress.steps,
            "equal_parameters": all(self.same_everywhere(p) for network in networks for p in network.parameters()),
            "different_z": self.different(torch.cat(self.latents)),
            "different_images": self.different(self.first),
            "losses": self.accelerator.reduce(torch.stack(self.losses), "mean").tolist(),  # (steps, 2)
        }
        if self.main:
            print(json.dumps(report), flush=True)
        return code

    def same_everywhere(self, tensor):
        ranks = self.accelerator.gather(tensor.detach()[None].contiguous())
        return bool((ranks == ranks[:1]).all())

    def different(self, rows):
        """How many of all processes' rows differ from each other, as a part of them."""
        rows = self.accelerator.gather(rows)
        return len(rows.unique(dim=0)) / len(rows)


def without_batch_norm(config):
    G, D = usual_networks(config)
    for i, layer in enumerate(G.layers):
        if isinstance(layer, nn.BatchNorm2d):
            G.layers[i] = nn.Identity()
    return G, D


setup.Trainer, usual_networks = Watched, setup.build_networks
if os.environ.get("NO_BATCH_NORM"):
    setup.build_networks = without_batch_norm
main = train.main
if __name__ == "__main__":
    leave(main())
