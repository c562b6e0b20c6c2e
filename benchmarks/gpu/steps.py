"""The steps of the kit, in order of value."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.gpu import checks, machine, speed, throughput
from benchmarks.gpu.record import Job, Record


class Step(NamedTuple):
    """A question, and the seconds that its answer may take.

    Attributes:
        name: of its file.
        question: what it answers.
        least: seconds without which it is not begun.
        most: seconds after which it is ended; the figures measured by then are kept.
        answer: measures.
    """

    name: str
    question: str
    least: int
    most: int
    answer: Callable[[Job, Record], None]


STEPS = (
    Step("machine", "Which card, driver and versions?", 5, 40, machine.machine),
    Step("agreement", "Do the CPU and the GPU agree?", 15, 90, checks.agreement),
    Step("waiting", "Does a step wait for the device?", 10, 45, checks.waiting),
    Step("resnet50", "How fast is a ResNet-50 step?", 30, 110, speed.resnet50),
    Step("ranking", "How fast is ranking at MARS's size?", 20, 80, throughput.ranking),
    Step("repeatability", "Do reruns have the same bits?", 45, 100, checks.repeatability),
    Step("training", "Does the GPU wait for data?", 30, 100, throughput.training),
    Step("finite", "Do losses stay finite?", 25, 90, checks.finite),
    Step("kernels", "Which kernels take the time?", 10, 40, speed.kernels),
    Step("deterministic", "What do such kernels cost?", 15, 50, speed.deterministic_cost),
    Step("embedding", "How fast is embedding?", 20, 60, throughput.embedding),
    Step("resnet18", "How fast is a ResNet-18 step?", 15, 60, speed.resnet18),
    Step("largest_batch", "How many clips fit?", 15, 60, speed.largest_batch),
)
