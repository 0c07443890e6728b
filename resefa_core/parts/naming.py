"""Names for parts that nobody has named: by where they lie and how large they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_AROUND = 0.5
_ROWS = ("top", "upper", "middle", "lower", "bottom")
_COLUMNS = ("left", "", "right")


def suggested_names(labels: Sequence[Tensor], count: int) -> tuple[str, ...]:
    """A name for each of `count` clusters, no two alike: `surroundings` for what fills most of the images'
    border, else where it mostly lies, as in `upper left`, with a number where several lie there.

    Args:
        labels: of images, `(h, w)` each.
    """
    places = torch.stack(list(labels))
    height, width = places.shape[1:]
    rows = (torch.arange(height) + 0.5) / height
    columns = (torch.arange(width) + 0.5) / width
    border = torch.zeros(height, width, dtype=torch.bool)
    border[0] = border[:, 0] = border[:, -1] = True
    names: list[str] = []
    for index in range(count):
        inside = (places == index).float()
        amount = float(inside.sum())
        if not amount:
            name = "rare"
        elif float(inside[:, border].mean()) >= _AROUND:
            name = "surroundings"
        else:
            y = float((inside.sum(dim=(0, 2)) * rows).sum()) / amount
            x = float((inside.sum(dim=(0, 1)) * columns).sum()) / amount
            words = (_ROWS[min(int(y * 5), 4)], _COLUMNS[min(int(x * 3), 2)])
            name = " ".join(word for word in words if word)
        names.append(name)
    return tuple(
        name if names.count(name) == 1 else f"{name} {names[:index].count(name) + 1}"
        for index, name in enumerate(names)
    )
