"""The stages of dvc.yaml, one thin file each: all that knows DVC, MLflow and the disk."""

import os
import sys
from pathlib import Path

# `dvc exp run --temp` and `--queue` run a copy of the repository, whose own library must
# be used and not the one that an editable install points at.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

# Set before MLflow is imported anywhere: it reads them once.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
# A server that does not answer is told after seconds; MLflow's own 7 retries take minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
