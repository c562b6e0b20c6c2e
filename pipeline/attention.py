"""Stage attention: measure what the MAMs of an arm attend to, over the queries of each run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from cmmanet.evaluation.attention.labels import open_labels
from cmmanet.evaluation.attention.observe import observe
from cmmanet.evaluation.attention.table import COLUMNS, KEYS
from cmmanet.frames.archive import FrameStore
from cmmanet.training.device import choose_runtime
from pipeline.parts import workspace
from pipeline.parts.command import ArmName, DatasetName, run
from pipeline.parts.indexed_data import Dataset, open_dataset
from pipeline.parts.trained_network import load_trained
from pipeline.parts.watch import counting

SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in KEYS),
        *((name, pa.float64()) for name in COLUMNS),
    ]
)


def main(dataset: DatasetName, arm: ArmName) -> None:
    """Measure ARM's attention on DATASET into attention/DATASET/ARM.parquet.

    One row per query, run and MAM; an arm without MAMs has an empty table.
    """
    opened = open_dataset(dataset)
    store = opened.open_frames()
    labels = open_labels(opened.folder, opened.raw)
    tables = [SCHEMA.empty_table()]
    for trial in range(len(opened.trials["trials"])):
        tables += _measure_run(opened, store, labels, arm, dataset, trial)
    table = pa.concat_tables(tables)
    workspace.write_table(workspace.attention_file(dataset, arm), table)
    note = "" if labels is not None else "; no label maps, so nothing is measured on body parts"
    print(f"{dataset} {arm}: {len(table):,} rows{note}")


def _measure_run(
    opened: Dataset,
    store: FrameStore,
    labels: FrameStore | None,
    arm: str,
    dataset: str,
    trial: int,
) -> list[pa.Table]:
    folder = workspace.run_folder(dataset, arm) / workspace.trial_name(trial)
    trained = load_trained(folder)
    if not trained.plan.model.mam_after:
        return []
    query = opened.trials["splits"][opened.trials["trials"][trial]]["query"]
    frames = int(opened.tracklets.length[query].sum())
    with counting(f"{dataset} {arm} {folder.name}: attention, frames", frames) as progress:
        observed = observe(
            trained.network,
            store,
            labels,
            opened.tracklets,
            query,
            view=trained.plan.view,
            runtime=choose_runtime(trained.plan.precision),
            on_frames=progress,
        )
    tables = []
    for stage, measures in observed.items():
        columns: dict[str, Any] = {
            "trial": np.full(len(query), trial),
            "stage": np.full(len(query), stage),
            "query": np.array(query),
            "pid": opened.tracklets.pid[query],
            **{name: values.numpy() for name, values in measures.items()},
        }
        tables.append(pa.table(columns).select(SCHEMA.names).cast(SCHEMA))
    return tables


if __name__ == "__main__":
    run(main)
