"""Trains as train.py does and prints whether the ranks stay in step; started by torchrun on two processes."""

import json

import torch

from train.config import parse_args
from train.train import set_up

trainer = set_up(parse_args(None, __doc__))
accelerator = trainer.accelerator
drawn = []
step = trainer.step


def watched_step(real):
    drawn.append(real.flatten(1)[:, ::97].clone())  # (N, some pixels) tell images apart
    return step(real)


trainer.step = watched_step
assert trainer.run() == 0

z = accelerator.gather(torch.randn(1, 8))
images = accelerator.gather(drawn[0])  # (ranks * N, some pixels)
mine, others = images[: len(drawn[0])], images[len(drawn[0]) :]
equal = True
for network in (trainer.G, trainer.D, trainer.ema.model):
    for parameter in network.parameters():
        all_ranks = accelerator.gather(parameter.detach()[None].contiguous())
        equal = equal and bool((all_ranks == all_ranks[:1]).all())
accelerator.wait_for_everyone()
if trainer.main:
    report = {"processes": accelerator.num_processes, "seen": trainer.progress.seen, "equal_parameters": equal}
    report |= {"different_z": not torch.equal(z[0], z[1])}
    report |= {"shared_images": int((torch.cdist(mine, others) == 0).sum())}
    print(json.dumps(report), flush=True)
accelerator.end_training()
