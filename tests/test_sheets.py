"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest
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


def test_differences_are_told_pixel_by_pixel_and_in_colours() -> None:
    before = torch.zeros(1, 3, 4, 6)
    after = before.repeat(2, 1, 1, 1)
    after[0, :, 1, 2] = 0.2
    after[1] = 1.0
    levels = resefa.sheets.differences(before, after, 5.0)
    assert levels.shape == (2, 4, 6)
    assert levels[0, 1, 2] == pytest.approx(0.5)
    assert levels[0].sum() == pytest.approx(0.5)
    assert bool((levels[1] == 1.0).all())
    colours = np.asarray(resefa.sheets.heat_map(levels[0].numpy()))
    assert colours.shape == (4, 6, 3)
    assert colours[1, 2].sum() > 10 * colours[0, 0].sum()
    for other in (torch.zeros(1, 3, 4, 5), torch.zeros(3, 3, 4, 6)):
        with pytest.raises(resefa.ParameterError, match="can't be compared"):
            resefa.sheets.differences(after, other)
