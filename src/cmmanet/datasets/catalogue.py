"""The datasets that this project knows. One in MARS's layout is added here and in params.yaml."""

from __future__ import annotations

import re

from cmmanet.datasets.mars import MarsLayout
from cmmanet.datasets.split_files import SplitMatrix
from cmmanet.datasets.two_camera import TwoCamera

# iLIDS-VID numbers its 300 identities 1-319.
_ILIDS_ABSENT = frozenset(
    (11, 32, 72, 73, 78, 112, 132, 146, 156, 180, 211, 215, 247, 248, 250, 263, 267, 291, 292)
)

DATASETS: dict[str, MarsLayout | TwoCamera] = {
    "mars": MarsLayout(
        title="MARS",
        source=(
            "the two archives from http://www.liangzheng.com.cn/Project/project_mars.html (its "
            "Google Drive link), info/ from https://github.com/liangzheng06/MARS-evaluation"
        ),
        # Of the official files: the archives have no published checksum.
        official_counts={
            "train_tracklets": 8_298,
            "train_frames": 509_914,
            "train_identities": 625,
            "test_tracklets": 12_180,
            "test_frames": 681_089,
            "queries": 1_980,
        },
    ),
    "ilids-vid": TwoCamera(
        title="iLIDS-VID",
        folder="i-LIDS-VID",
        archive="i-LIDS-VID.tar",
        archive_source=(
            "open https://xiatian-zhu.github.io/downloads_qmul_iLIDS-VID_ReID_dataset.html, "
            "download the dataset, name the file i-LIDS-VID.tar and do not unpack it (older "
            "direct links to it are reported dead)"
        ),
        splits_source=(
            "the .mat file comes with the archive; a splits.json is a list of ten "
            '{"train": [...], "test": [...]} with names such as "person001"'
        ),
        member=re.compile(
            r"i-LIDS-VID/sequences/cam(?P<camera>[12])/person(?P<person>\d{3})/"
            r"cam(?P=camera)_person(?P=person)_(?P<frame>\d{1,6})\.png",
            re.ASCII,
        ),
        example="i-LIDS-VID/sequences/cam1/person001/cam1_person001_00317.png",
        cameras=("1", "2"),
        person=re.compile(r"person(\d{3})", re.ASCII),
        identities=300,
        min_frames=1,
        matrix=SplitMatrix(
            file="train_test_splits_ilidsvid.mat",
            folder="train-test people splits",
            key="ls_set",
            numbers=tuple(number for number in range(1, 320) if number not in _ILIDS_ABSENT),
        ),
        unconfirmed_md5={"i-LIDS-VID.tar": "7752bd15b611558701bb0e2380ed8950"},
    ),
    "prid2011": TwoCamera(
        title="PRID-2011",
        note="A public dataset that the paper does not report on.",
        folder="prid_2011",
        archive="prid_2011.zip",
        archive_source=(
            "download the dataset from its authors' page (Hirzer et al., SCIA 2011), name the "
            "file prid_2011.zip and do not unpack it"
        ),
        splits_source=(
            "splits.json is the ten splits that public loaders ship (deep-person-reid calls the "
            'file splits_prid2011.json): a list of ten {"train": [...], "test": [...]} of 89 names '
            'each, such as "person_0001"'
        ),
        member=re.compile(
            r"prid_2011/multi_shot/cam_(?P<camera>[ab])/person_(?P<person>\d{4})/"
            r"(?P<frame>\d{1,6})\.png",
            re.ASCII,
        ),
        example="prid_2011/multi_shot/cam_a/person_0001/0001.png",
        cameras=("a", "b"),
        person=re.compile(r"person_(\d{4})", re.ASCII),
        identities=178,
        min_frames=27,
    ),
    "synthetic": MarsLayout(
        title="Synthetic",
        note="Rendered by this project, to see the whole pipeline work without licensed data.",
        source="the stage fetch renders them",
        official_counts=None,
    ),
}
"""By the name in params.yaml, in the order in which reports list them."""
