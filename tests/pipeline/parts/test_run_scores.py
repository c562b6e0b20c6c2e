"""Scoring a split by features of some tracklets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cmmanet.datasets.tracklets import Split, Tracklets, Trials
from cmmanet.evaluation.metrics import Scoring
from cmmanet.evaluation.records import Protocol
from cmmanet.params import EvaluatePlan, Rerank, TestFrames
from pipeline.parts.run_scores import protocol, reranking_of, score_split

PID = [9, 1, 1, 2, 2, -1, 0]
CAMERA = [1, 1, 2, 1, 2, 1, 2]
SPLIT = Split(train=[0], query=[1, 3], gallery=[4, 2, 5, 6])


def tracklets() -> Tracklets:
    rows = np.arange(len(PID))
    ones = np.ones(len(PID), np.int64)
    return Tracklets(rows, np.array(PID), np.array(CAMERA), rows, ones, np.array(["both"] * 7))


def features(rows: list[int], nearest: dict[int, list[float]]) -> dict[TestFrames, torch.Tensor]:
    """Features by tracklet, in the order of `rows`."""
    values = torch.tensor([nearest[row] for row in rows])
    return {"dense": values, "chunk_first": values.flip(1)}


PLACES = {1: [1.0, 0.1], 2: [1.0, 0.2], 3: [0.1, 1.0], 4: [1.0, 0.9], 5: [1.0, 0.1], 6: [0.2, 1.0]}


@pytest.mark.parametrize("rows", [[1, 2, 3, 4, 5, 6], [6, 2, 5, 1, 4, 3]])
def test_features_are_found_by_their_tracklet(rows: list[int]) -> None:
    # Person 1 is nearest to itself; a distractor is nearer to person 2, junk does not count.
    scores = score_split(features(rows, PLACES), rows, tracklets(), SPLIT, None)
    for scoring in (Scoring("cosine", "dense"), Scoring("euclidean", "chunk_first")):
        assert scores[scoring].first_right_rank.tolist() == [1, 2]
    assert len(scores) == 4


def test_tracklets_that_were_not_embedded_are_told() -> None:
    rows = [1, 2, 3, 5, 6]
    with pytest.raises(ValueError, match="tracklet 4 of the split was not embedded; embed again"):
        score_split(features(rows, PLACES), rows, tracklets(), SPLIT, None)


@pytest.mark.parametrize("reranking", [None, Rerank(k1=2, k2=1, weight=0.3)])
def test_a_split_that_cannot_be_scored_is_told(reranking: Rerank | None) -> None:
    rows = [1, 2, 3, 4, 5, 6]
    alone = Split(train=[0], query=[1, 3], gallery=[5, 6])
    with pytest.raises(ValueError, match=r"^none of the 2 queries has a right answer .* scored$"):
        score_split(features(rows, PLACES), rows, tracklets(), alone, reranking)


def test_reranking_of_a_plan() -> None:
    assert reranking_of(EvaluatePlan(rerank="none")) is None
    rerank = Rerank(k1=20, k2=6, weight=0.3)
    assert reranking_of(EvaluatePlan(rerank=rerank)) == rerank


def test_protocol_counts_the_first_splits_gallery() -> None:
    other = Split(train=[1], query=[0], gallery=[2])
    trials = Trials(protocol="mars", source="the info files", splits=[SPLIT, other], trials=[0, 1])
    assert protocol(trials, tracklets()) == Protocol(
        name="mars", splits="the info files", query=2, gallery=4, distractors=1, junk=1
    )
