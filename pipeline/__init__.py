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
# Links to each run, which quote the password of the server's address.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# A server that does not answer is reported after 20 s; MLflow's own limits take 16 minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false")
os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
