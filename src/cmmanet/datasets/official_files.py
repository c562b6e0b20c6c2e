"""What all datasets share in reading their official files."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt


class DatasetError(ValueError):
    """Official files that are missing, damaged, or contradict each other."""


def read_matrix(source: str, content: bytes, key: str) -> npt.NDArray[np.int64]:
    """Read the matrix `key` of a MATLAB file; `source` names the file in messages.

    Raises:
        DatasetError: if the file is damaged or has no such matrix.
    """
    # scipy takes a quarter of a second to import, which most stages need not wait for.
    from scipy.io import loadmat

    try:
        # Its type stubs do not know that it reads open files as well.
        return np.asarray(loadmat(io.BytesIO(content))[key]).astype(np.int64)  # type: ignore[arg-type]
    except KeyError:
        raise DatasetError(f"{source}: has no matrix {key}") from None
    except Exception as error:  # scipy and zlib fail on damage in a dozen ways
        raise DatasetError(f"{source}: not a whole .mat file ({error})") from None
