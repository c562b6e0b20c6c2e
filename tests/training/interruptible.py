"""A training that is killed again and again, and goes on each time.

    python tests/training/interruptible.py DATA STATE RESULT KILLS SEED

Prints the iteration that each life began with, as JSON. One process imports torch, and forks a
child for each life: children start at once, and none has threads before it forks.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from training.small import open_clips, plan_of, train_small

ITERATIONS = 48


def live(data: Path, state: Path, result: Path, life: int, pipe: int) -> None:
    """Train to the end, telling the pipe where it began and each iteration."""
    torch.set_num_threads(1)
    plan = plan_of(
        schedule__iterations=ITERATIONS, schedule__milestones=[20], model__backbone="mobilenet_v2"
    )
    trained = train_small(
        plan,
        open_clips(data, repeat=5),
        state,
        seed=3,
        workers=life % 2,
        # Every third life loses some of its iterations.
        save_every=0.2 if life % 3 == 2 else 0,
        begin=lambda done, history: os.write(pipe, f"began {done} {len(history)}\n".encode()),
        look=lambda look: os.write(pipe, b".\n"),
        say=lambda line: os.write(pipe, f"said {line}\n".encode()),
    )
    for means in trained.history:
        del means["seconds"], means["frames_per_second"]
    torch.save((trained.network.state_dict(), trained.history), result)


def main() -> None:
    """Kill as often as asked, at random moments, then let it end."""
    data, state, result = map(Path, sys.argv[1:4])
    kills, chance = int(sys.argv[4]), random.Random(int(sys.argv[5]))
    began = []
    while not result.exists():
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            live(data, state, result, len(began), writing)
            os._exit(0)
        os.close(writing)
        doomed = len(began) < kills
        # Some iterations, and then any moment of the next: in a step, or in a checkpoint.
        lives = chance.randrange(1, 8) if doomed else ITERATIONS + 1
        with os.fdopen(reading) as lines:
            for line in lines:
                if line.startswith("began"):
                    began.append([int(word) for word in line.split()[1:]])
                assert not line.startswith("said"), line
                lives -= line == ".\n"
                if lives == 0:
                    time.sleep(chance.uniform(0, 0.1))
                    os.kill(child, signal.SIGKILL)
                    break
        _, status = os.waitpid(child, 0)
        assert doomed == (status == signal.SIGKILL), status
    print(json.dumps(began))


if __name__ == "__main__":
    main()
