import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training.small import open_clips, plan_of, train_small

from cmmanet.clips.dataset import ClipDataset
from cmmanet.clips.sampling import ClipSampler, Interval, Restricted
from cmmanet.model.network import CMMANet
from cmmanet.params import ArmPlan
from cmmanet.training.build import build_network
from cmmanet.training.checkpoint import load_checkpoint
from cmmanet.training.logbook import TrainingError
from cmmanet.training.loop import Trained, plan_epoch

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture
def erased_clips(data: Path) -> ClipDataset:
    return open_clips(data, erase=0.5)


def run(
    plan: ArmPlan, clips: ClipDataset, *, seed: int = 0, workers: int = 0
) -> tuple[CMMANet, list[dict[str, float]], list[int]]:
    iterations: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        trained = train_small(
            plan,
            clips,
            Path(folder),
            seed=seed,
            workers=workers,
            look=lambda look: iterations.append(look.iteration),
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


def test_the_planned_readings_of_the_sampler_reach_the_requests(clips: ClipDataset) -> None:
    def samplers(plan: ArmPlan, epoch: int = 0) -> set[ClipSampler]:
        batches = plan_epoch(plan, clips, 0, epoch).batches
        return {request.sampler for batch in batches for request in batch}

    (any_start,) = samplers(plan_of())
    (literal,) = samplers(plan_of(sampling={"start": "literal"}))
    assert isinstance(any_start, Interval)
    assert literal == replace(any_start, literal=True) != any_start
    per_clip = plan_of(sampling={"draw": "clip"})
    assert len(set().union(*(samplers(per_clip, epoch) for epoch in range(4)))) > 4
    assert samplers(plan_of("cmmanet-restricted")) == {Restricted()}
    # There is no interval of the epoch to log.
    assert all("interval" not in means for means in run(per_clip, clips)[1])


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
    with pytest.raises(ValueError, match="a batch needs 3 identities, the training split has 2"):
        run(plan_of(batch__identities=3), clips)


def test_learns_to_tell_two_people_apart(clips: ClipDataset) -> None:
    plan = plan_of(schedule__iterations=25, schedule__milestones=())
    _, history, _ = run(plan, clips)
    assert history[-1]["loss_identity"] < history[0]["loss_identity"] / 2


STRONG = {
    "clip__erase": 0.5,
    "model__neck": "bnneck",
    "model__last_stride": 1,
    "losses__smoothing": 0.1,
    "schedule__warmup": 2,
}


def test_strong_options_train_together(erased_clips: ClipDataset) -> None:
    plan = plan_of(**STRONG)
    network, history, _ = run(plan, erased_clips)
    rates = [epoch["lr"] for epoch in history]
    np.testing.assert_allclose(rates, [2e-4, 1.1e-3, 2e-4, 2e-4, 2e-4])
    initial = build_network(plan, 2, 0, Path())
    assert torch.equal(network.neck.bias, torch.zeros(512))
    for trained, untrained in (
        (network.neck.weight, initial.neck.weight),
        (network.neck.running_mean, initial.neck.running_mean),
        (network.classifier.weight, initial.classifier.weight),
    ):
        assert trained.isfinite().all() and not torch.equal(trained, untrained)
    # The first logits are next to nothing, and so is what smoothing changes of log 2.
    assert history[0]["loss_identity"] == pytest.approx(np.log(2), abs=0.05)


def test_strong_options_give_the_same_bits_with_workers(erased_clips: ClipDataset) -> None:
    plan = plan_of(**STRONG)
    states = [run(plan, erased_clips, workers=n)[0].state_dict().values() for n in (0, 2)]
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_each_option_reaches_the_training(clips: ClipDataset, erased_clips: ClipDataset) -> None:
    _, plain, _ = run(plan_of(), clips)
    for key, value in STRONG.items():
        data = erased_clips if key == "clip__erase" else clips
        _, history, _ = run(plan_of(**{key: value}), data)
        losses = [[epoch["loss"] for epoch in told] for told in (plain, history)]
        assert losses[0] != losses[1], key


def test_bf16_stays_close_to_fp32(clips: ClipDataset) -> None:
    plan = plan_of()
    _, history, _ = run(plan, clips)
    half, history_half, _ = run(plan.model_copy(update={"precision": "bf16"}), clips)
    assert history_half[0]["loss"] == pytest.approx(history[0]["loss"], rel=0.05)
    assert {p.dtype for p in half.parameters()} == {torch.float32}


def go_on(
    plan: ArmPlan, clips: ClipDataset, folder: Path, say: Callable[[str], None]
) -> tuple[list[int], Trained]:
    began: list[int] = []
    trained = train_small(
        plan, clips, folder, save_every=0, begin=lambda done, _: began.append(done), say=say
    )
    return began, trained


def test_a_damaged_checkpoint_costs_one_interval_and_no_bit(
    clips: ClipDataset, tmp_path: Path
) -> None:
    folder, said = tmp_path / "checkpoints", []
    _, whole = go_on(plan_of(), clips, folder, print)
    newest = max(folder.iterdir())
    newest.write_bytes(newest.read_bytes()[:-5])
    began, again = go_on(plan_of(), clips, folder, said.append)
    assert began == [3], "4 is damaged, 5 is the end"
    assert len(said) == 1 and "damaged" in said[0]
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name])


def test_a_checkpoint_that_cannot_be_written_costs_no_training(
    clips: ClipDataset, tmp_path: Path
) -> None:
    said: list[str] = []
    (tmp_path / "file").touch()
    _, trained = go_on(plan_of(), clips, tmp_path / "file", said.append)
    assert trained.history[-1]["iterations"] == 5
    assert len(said) == 4 and "training goes on" in said[0]


def test_a_diverged_state_is_never_kept(clips: ClipDataset, tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        go_on(plan_of(optimiser__lr=1e30), clips, tmp_path / "checkpoints", print)
    kept = load_checkpoint(tmp_path / "checkpoints", print)
    assert kept is not None and all(value.isfinite().all() for value in kept.network.values())
