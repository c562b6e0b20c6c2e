import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from training.small import plan_of

from cmmanet.clips.dataset import ClipDataset
from cmmanet.model.network import CMMANet
from cmmanet.params import ArmPlan
from cmmanet.training.build import build_network
from cmmanet.training.loop import Listener, TrainingError, train
from cmmanet.training.processes import Processes

CPU = torch.device("cpu")


def run(
    plan: ArmPlan, clips: ClipDataset, *, seed: int = 0, workers: int = 0
) -> tuple[CMMANet, list[dict[str, float]], list[int]]:
    iterations: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        trained = train(
            plan,
            build_network(plan, len(clips.identities), seed, Path()),
            clips,
            seed=seed,
            processes=Processes(CPU),
            workers=workers,
            checkpoints=Path(folder),
            listener=Listener(
                begin=lambda *_: None,
                look=lambda look: iterations.append(look.iteration),
                epoch=lambda _: None,
                say=print,
            ),
        )
    assert trained.nondeterministic == []
    return trained.network, trained.history, iterations


def test_trains_for_the_planned_iterations_and_divides_the_rate(clips: ClipDataset) -> None:
    network, history, iterations = run(plan_of(), clips)
    assert iterations == [1, 2, 3, 4, 5] and not network.training
    # Four training tracklets and four clips a batch: an epoch is one iteration.
    assert [epoch["iterations"] for epoch in history] == [1, 2, 3, 4, 5]
    rates = [epoch["lr"] for epoch in history]
    np.testing.assert_allclose(rates, [2e-3, 2e-3, 2e-4, 2e-4, 2e-4])
    assert {epoch["interval"] for epoch in history} <= set(range(1, 9))
    for epoch in history:
        parts = (
            epoch["loss_identity"]
            + epoch["loss_triplet"]
            + 0.1 * epoch["loss_diversity"]
            + 0.1 * epoch["loss_concentration"]
        )
        assert epoch["loss"] == pytest.approx(parts, rel=1e-5)
        assert 0 <= epoch["triplet_active"] <= 1
        for stage in (3, 4):
            assert 0 < epoch[f"attention{stage}_own_stripe"] <= 1


def test_same_seed_gives_the_same_bits_with_any_number_of_workers(clips: ClipDataset) -> None:
    first, history, _ = run(plan_of(), clips)
    again, history_again, _ = run(plan_of(), clips, workers=2)
    other, _, _ = run(plan_of(), clips, seed=1)
    same = [
        torch.equal(a, b)
        for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    ]
    assert all(same)
    assert [epoch["loss"] for epoch in history] == [epoch["loss"] for epoch in history_again]
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_global_generators_are_left_alone(clips: ClipDataset) -> None:
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002 (the legacy global generator is what is watched)
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    run(plan_of(schedule__iterations=3), clips, workers=1)
    assert torch.equal(torch.rand(1), expected[0]) and np.random.rand() == expected[1]  # noqa: NPY002


def test_baseline_has_no_attention_terms(clips: ClipDataset) -> None:
    _, history, _ = run(plan_of("baseline"), clips)
    assert not [name for name in history[0] if "attention" in name or "diversity" in name]


def test_weight_zero_leaves_a_loss_out(clips: ClipDataset) -> None:
    _, history, _ = run(plan_of("multi_mam"), clips)
    assert "loss_concentration" not in history[0] and "loss_diversity" in history[0]


def test_divergence_is_told_with_its_term_and_iteration(clips: ClipDataset) -> None:
    plan = plan_of(optimiser__lr=1e30)
    with pytest.raises(TrainingError, match=r"loss.* iteration \d.*diverged"):
        run(plan, clips)


def test_more_identities_than_the_split_has(clips: ClipDataset) -> None:
    with pytest.raises(ValueError, match="batch wants 3 identities, the training split has 2"):
        run(plan_of(batch__identities=3), clips)


def test_learns_to_tell_two_people_apart(clips: ClipDataset) -> None:
    plan = plan_of(schedule__iterations=25, schedule__milestones=())
    _, history, _ = run(plan, clips)
    assert history[-1]["loss_identity"] < history[0]["loss_identity"] / 2


def test_bf16_stays_close_to_fp32(clips: ClipDataset) -> None:
    plan = plan_of()
    _, history, _ = run(plan, clips)
    half, history_half, _ = run(plan.model_copy(update={"precision": "bf16"}), clips)
    assert history_half[0]["loss"] == pytest.approx(history[0]["loss"], rel=0.05)
    assert {p.dtype for p in half.parameters()} == {torch.float32}
