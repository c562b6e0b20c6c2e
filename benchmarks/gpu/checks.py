"""Is what a GPU computes right? Agreement with the CPU, waiting, repeatability, finite losses."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from benchmarks._step import (
    RESNET18,
    RESNET50,
    TINY,
    Setting,
    listener,
    our_network,
    our_step,
    random_batch,
    training_plan,
)
from benchmarks.gpu.data import Rendered, rendered
from benchmarks.gpu.record import Job, Record
from benchmarks.ranking import Labels, mars_labels
from cmmanet.evaluation.embedding import add_frames
from cmmanet.evaluation.folding import for_inference
from cmmanet.evaluation.ranking import Ranking, rank, rank_distances
from cmmanet.evaluation.reranking import reranked_distances
from cmmanet.losses import (
    batch_hard_triplet,
    concentration_eq10,
    diversity_eq7,
    diversity_eq8,
    identity_loss,
)
from cmmanet.model.attention import log_attention_eq2, refine_eq4
from cmmanet.training.device import Runtime, deterministic
from cmmanet.training.logbook import Look
from cmmanet.training.loop import train
from cmmanet.training.processes import Processes

CPU = torch.device("cpu")

# Largest difference over the largest value of the reference, both in float32. Sums of up to some
# ten thousand terms in another order differ by a few units of 1e-7 each; a network of dozens of
# normalised layers amplifies that, its gradients more than its loss.
FUNCTION, FEATURES, LOSS, GRADIENT = 1e-5, 1e-4, 1e-4, 1e-2
# In float64, of values up to 1.
RANKING = 1e-9

Values = dict[str, Tensor]


def difference(ours: Tensor, reference: Tensor) -> float:
    """Return the largest difference over the largest value of the reference."""
    ours, reference = ours.detach().cpu().double(), reference.detach().cpu().double()
    scale = reference.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
    return ((ours - reference).abs().max() / scale).item()


def agreement(job: Job, record: Record) -> None:
    """Compare with the CPU: losses, attention, ranking, re-ranking, embedding, a step."""
    labels = mars_labels().part(20 if job.tiny else 200)
    groups: dict[str, tuple[Callable[[torch.device], Values], float | dict[str, float]]] = {
        "functions": (_functions, FUNCTION),
        "embedding": (_embedding, FEATURES),
        "training_step": (_training_step, {"loss": LOSS, "gradient": GRADIENT}),
        "ranking": (lambda device: _ranked(device, labels), RANKING),
        "reranking": (lambda device: _reranked(device, labels), RANKING),
    }
    for group, (compute, tolerances) in groups.items():
        with record.part(group):
            ours, reference = compute(job.device), compute(CPU)
            rows = {}
            for name, expected in reference.items():
                limit = tolerances[name] if isinstance(tolerances, dict) else tolerances
                value = difference(ours[name], expected)
                rows[name] = {"difference": value, "tolerance": limit, "holds": value <= limit}
            record.add(**rows)


def _functions(device: torch.device) -> Values:
    """Return values and gradients of every loss and of Eq. 2 and 4."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device).requires_grad_()

    labels = torch.arange(7).repeat_interleave(4).to(device)
    logits, features = drawn(28, 625), drawn(28, 2048)
    responses, maps = drawn(28, 6, 4, 16, 8), drawn(28, 6, 32, 16, 8)
    calls: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
        "identity_loss": (lambda x: identity_loss(x, labels), logits),
        "identity_loss_smoothed": (lambda x: identity_loss(x, labels, 0.1), logits),
        "triplet": (lambda x: batch_hard_triplet(x, labels, 0.3).loss, features),
        "triplet_soft": (lambda x: batch_hard_triplet(x, labels, None).loss, features),
        "diversity_eq7": (lambda x: diversity_eq7(log_attention_eq2(x)), responses),
        "diversity_eq8": (lambda x: diversity_eq8(log_attention_eq2(x)), responses),
        "concentration_eq10": (lambda x: concentration_eq10(log_attention_eq2(x)), responses),
        "refine_eq4": (
            lambda x: refine_eq4(x, log_attention_eq2(responses).detach()).square().sum(),
            maps,
        ),
    }
    values: Values = {}
    for name, (function, leaf) in calls.items():
        values[name] = function(leaf)
        (values[f"{name}_gradient"],) = torch.autograd.grad(values[name], leaf)
    return values


def _embedding(device: torch.device) -> Values:
    """Return the sums of two tracklets' features, in float32 and folded."""
    network = for_inference(our_network(TINY, device), torch.float32)
    pixels = random_batch(TINY, device)[0].flatten(0, 1)
    owner = torch.arange(len(pixels), device=device) % 2
    weights = torch.full((2, len(pixels)), 0.5, device=device)
    sums = torch.zeros(2, 2, network.classifier.in_features, device=device)
    with torch.inference_mode(), deterministic(device):
        add_frames(sums, network, pixels, owner, weights)
    return {"embedding": sums}


def _training_step(device: torch.device) -> Values:
    """Return the loss and all gradients of a first step in float32."""
    network = our_network(TINY, device)
    with deterministic(device):
        _, record = our_step(network, torch.float32, *random_batch(TINY, device))()
    gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    return {"loss": record["loss"], "gradient": torch.cat(gradients)}


def _features(device: torch.device, labels: Labels) -> tuple[Tensor, Tensor]:
    """Return query and gallery embeddings with a little of the identity in them."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(int(labels.ids.max()) + 2, 256, generator=generator)
    gallery = 0.25 * centres[labels.ids + 1]
    gallery = (gallery + torch.randn(*gallery.shape, generator=generator)).to(device)
    return gallery[labels.queries.to(device)], gallery


def _ranked(device: torch.device, labels: Labels) -> Values:
    query, gallery = _features(device, labels)
    # The same distances on both: those of the CPU.
    given = torch.cdist(query.cpu().double(), gallery.cpu().double()).to(device)
    return {
        **_ranking("rank_cosine", rank(query, gallery, **labels.arguments())),
        **_ranking(
            "rank_euclidean", rank(query, gallery, **labels.arguments(), distance="euclidean")
        ),
        **_ranking("rank_distances", rank_distances(given, **labels.arguments())),
    }


def _reranked(device: torch.device, labels: Labels) -> Values:
    query, gallery = _features(device, labels)
    return {"reranked_distances": reranked_distances(query, gallery, k1=20, k2=6, weight=0.3)}


def _ranking(name: str, ranking: Ranking) -> Values:
    return {
        f"{name}_first_right_rank": ranking.first_right_rank,
        f"{name}_ap": ranking.ap_trapezoid[ranking.valid],
        f"{name}_cmc": ranking.cmc,
    }


def waiting(job: Job, record: Record) -> None:
    """Take steps and embed a batch while PyTorch raises where the host waits for the device."""
    if job.device.type != "cuda":
        record.add(training_step_waits=None, embedding_waits=None)
        return
    for name, build in (
        ("training_step_waits", _pinned_step),
        ("embedding_waits", _pinned_embedding),
    ):
        with record.part(name), deterministic(job.device):
            call = build(job.device)
            for _ in range(3):  # libraries measure and allocate at first
                call()
            torch.cuda.set_sync_debug_mode("error")
            try:
                call()
                waits: bool | str = False
            except RuntimeError as error:
                waits = str(error).splitlines()[0]
            finally:
                torch.cuda.set_sync_debug_mode("default")
            record.add(**{name: waits})


def _pinned_step(device: torch.device) -> Callable[[], object]:
    network = our_network(TINY, device)
    clips, labels = (tensor.pin_memory() for tensor in random_batch(TINY, CPU))
    held: list[Callable[[], object]] = []

    def call() -> object:
        on_device = [tensor.to(device, non_blocking=True) for tensor in (clips, labels)]
        if not held:
            held.append(our_step(network, torch.bfloat16, *on_device))
        return held[0]()

    return call


def _pinned_embedding(device: torch.device) -> Callable[[], object]:
    network = for_inference(our_network(TINY, device), torch.bfloat16)
    pixels = random_batch(TINY, CPU)[0].flatten(0, 1).pin_memory()
    owner = torch.zeros(len(pixels), dtype=torch.int64, device=device)
    weights = torch.ones(2, len(pixels), device=device)
    sums = torch.zeros(2, 1, network.classifier.in_features, device=device)
    runtime = Runtime(device, torch.bfloat16, workers=0)

    @torch.inference_mode()
    def call() -> None:
        batch = pixels.to(device, non_blocking=True)
        with runtime.autocast():
            add_frames(sums, network, batch, owner, weights)

    return call


class _Interruption(Exception):
    """Ends a training as a kill would."""


def repeatability(job: Job, record: Record) -> None:
    """Train twice, and once more with an interruption: are the weights the same bits?"""
    cases = [(TINY, "fp32")] if job.tiny else [(RESNET18, "fp32"), (RESNET50, "bf16")]
    for setting, precision in cases:
        name = f"{setting.backbone}_{precision}"
        data = rendered(job, setting)
        with record.part(name), tempfile.TemporaryDirectory() as folder:
            first, operations = _train(job, data, setting, precision, Path(folder, "1"))
            second, _ = _train(job, data, setting, precision, Path(folder, "2"))
            record.add(
                **{
                    f"{name}_repeated": _same_bits(first, second),
                    f"{name}_without_deterministic_kernel": operations,
                }
            )
            resumed = Path(folder, "resumed")
            with suppress(_Interruption):
                _train(job, data, setting, precision, resumed, stop_at=4)
            third, _ = _train(job, data, setting, precision, resumed)
            record.add(**{f"{name}_resumed": _same_bits(first, third)})


def _train(
    job: Job,
    data: Rendered,
    setting: Setting,
    precision: str,
    checkpoints: Path,
    stop_at: int | None = None,
) -> tuple[Values, list[str]]:
    """Return the weights after some iterations, and the operations that might vary.

    A checkpoint takes seconds: only a run that will be interrupted writes any, one per iteration.
    """

    def stop(look: Look) -> None:
        if look.iteration == stop_at:
            raise _Interruption

    trained = train(
        training_plan(setting, precision, 5 if job.tiny else 20),
        our_network(setting, job.device),
        data.clips(setting),
        seed=0,
        processes=Processes(job.device),
        workers=0 if job.tiny else 4,
        checkpoints=checkpoints,
        save_every=math.inf if stop_at is None else 0,
        listener=listener(stop),
    )
    return trained.network.state_dict(), trained.nondeterministic


def _same_bits(one: Values, other: Values) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def finite(job: Job, record: Record) -> None:
    """Take 200 steps in bf16 and in fp32: does every loss stay finite?"""
    setting, steps = (TINY, 3) if job.tiny else (RESNET50, 200)
    batches = [random_batch(setting, job.device, seed) for seed in range(1 if job.tiny else 4)]
    for name, precision in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with record.part(name):
            clips, labels = (torch.empty_like(tensor) for tensor in batches[0])
            step = our_step(our_network(setting, job.device), precision, clips, labels)
            losses = []
            for number in range(steps):
                batch = batches[number % len(batches)]
                for tensor, values in zip((clips, labels), batch, strict=True):
                    tensor.copy_(values)
                _, terms = step()
                losses.append(torch.stack([v for k, v in terms.items() if k.startswith("loss")]))
            values = torch.stack(losses)
            record.add(
                **{
                    f"{name}_finite": bool(values.isfinite().all()),
                    f"{name}_first_loss": values[0, -1].item(),
                    f"{name}_last_loss": values[-1, -1].item(),
                }
            )
