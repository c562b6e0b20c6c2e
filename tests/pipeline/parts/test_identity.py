from pathlib import Path
from typing import Any

import pytest
import torch
from training.small import plan_of

from cmmanet.training import device
from cmmanet.training.processes import Processes
from pipeline.parts import identity
from pipeline.parts.identity import digest, identify
from pipeline.parts.resume import kept

ONE = Processes(torch.device("cpu"))


def processor(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(device, "_cpu_field", {"model name": name}.get)


def test_everything_that_bits_depend_on_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(plan: Any = None, processes: Processes = ONE, data: str = "abc") -> dict[str, Any]:
        return identify(plan or plan_of(), processes, data)

    processor(monkeypatch, "Xeon")
    before = told()
    assert before == told()
    assert (before["device"], before["processor"], before["processes"]) == ("cpu", "Xeon", 1)
    others = {
        "plan": told(plan_of(sampling={"draw": "clip"})),
        "data": told(data="abd"),
        "processes": told(processes=Processes(torch.device("cpu"), 0, 2)),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    others["threads"] = told()
    torch.set_num_threads(threads)
    monkeypatch.setattr(identity, "version", lambda name: f"99 of {name}")
    others["versions"] = told()
    monkeypatch.undo()
    processor(monkeypatch, "EPYC")
    others["processor"] = told()
    for key, other in others.items():
        assert [name for name in before if before[name] != other[name]] == [key]


def test_another_processor_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    processor(monkeypatch, "Intel(R) Xeon(R) CPU @ 2.20GHz")
    with kept("mars-baseline", identify(plan_of(), ONE, "abc"), pytest.fail) as left:
        left.trial(0).mkdir()
    processor(monkeypatch, "AMD EPYC 7B12")
    said: list[str] = []
    with kept("mars-baseline", identify(plan_of(), ONE, "abc"), said.append):
        pass
    assert "had processor Intel(R) Xeon(R) CPU @ 2.20GHz (now AMD EPYC 7B12); remove" in said[0]


def test_digest_is_of_contents_in_order(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_text(file.name)
    assert digest(*files) == digest(*files) != digest(*reversed(files))
