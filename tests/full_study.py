"""A study in which everything that a study can say is said."""

from __future__ import annotations

from typing import Any

FULL_STUDY: dict[str, Any] = {
    "title": "all",
    "generator": "avatars",
    "class": 3,
    "seeds": "5000-5002,5010",
    "truncation": 0.5,
    "directions": 2,
    "target": 0.01,
    "regions": {"mouth": "ffhq/mouth", "box": [0.1, 0.2, 0.3, 0.4]},
    "confine": [0, 1],
    "rows": [
        "sefa",
        {"method": "resefa", "space": ["w", "w+"], "parameters": {"regularization": [1e-3, 1e-2]}},
        {"method": "lowrankgan", "confine": 0.5, "samples": 8, "label": "theirs", "shown": False},
    ],
    "transfer": {"sources": [1, 2, 3, 4, 5, 6, 7, 8], "sets": 1},
    "variations": {"shifted": [0.1], "grown": [0.5], "scribbles": 2},
    "attributes": True,
    "fid": "classifier",
    "identity_model": "face.onnx",
    "identity_crop": [0.1, 0.1, 0.8, 0.8],
    "sheet_seeds": 1,
}
