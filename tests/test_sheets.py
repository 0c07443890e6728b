"""Contact sheets."""

from __future__ import annotations

import numpy as np
import torch

import resefa_core as resefa


def test_letters_the_font_lacks_are_replaced() -> None:
    image = torch.zeros(3, 8, 8)
    sheets = [
        np.asarray(resefa.contact_sheet([[image]], row_labels=[label], title=title))
        for label, title in (("café – 17×", "Zoë"), ("cafe - 17x", "Zoe"))
    ]
    assert np.array_equal(*sheets)
    unknown = np.asarray(resefa.contact_sheet([[image]], title="口"))
    assert np.array_equal(unknown, np.asarray(resefa.contact_sheet([[image]], title="?")))


def test_labels_say_how_local_a_direction_is(avatars: resefa.Generator) -> None:
    jacobian = resefa.compute_jacobian(avatars, avatars.sample(1, 0.7), "w")
    directions = resefa.factorize(jacobian, resefa.Region.preset("mouth"), 2)
    ratio = float(directions.inside[0] / directions.outside[0])
    assert resefa.change_labels(directions)[0] == f"direction 0\n{ratio:,.0f}x more inside"
