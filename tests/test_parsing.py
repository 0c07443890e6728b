"""What people type, and what stands beside the image at hand."""

from __future__ import annotations

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core.directions.effects import Effect, effect_of
from resefa_core.latents.samples import further_seeds, joint_samples, like
from resefa_core.parsing import (
    parse_confine,
    parse_numbers,
    parse_parameters,
    parse_seeds,
    parse_strength,
    parse_which,
    shown_seeds,
)
from resefa_core.progress import counted, stage


def test_words_become_values() -> None:
    assert shown_seeds(parse_seeds("1, 4,9-12")) == "1,4,9-12"
    assert parse_numbers("-4,0,4.5") == [-4.0, 0.0, 4.5]
    assert [parse_which(text) for text in ("0", "-1", " smile ", "1e3", "12345678901")] == [
        0,
        -1,
        "smile",
        "1e3",
        "12345678901",
    ]
    assert parse_strength("a=b=-2") == ("a=b", -2.0)
    assert parse_parameters(["lambda=0.1", "grid = 8", "grid=9"]) == {"lambda": 0.1, "grid": 9.0}
    assert parse_parameters("lambda=0.1, grid = 8\n\ngrid=9,") == {"lambda": 0.1, "grid": 9.0}
    assert parse_parameters("") == {}
    assert [parse_confine(value) for value in (True, False, 0, 0.25, "1")] == [1.0, 0.0, 0.0, 0.25, 1.0]


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-99999", "-1", "1,,2", "1.5", "١"])
def test_what_are_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(resefa.ParameterError):
        parse_seeds(text)


def test_what_makes_no_sense_is_refused() -> None:
    for text in ("1", "=1", "a=", "a=much"):
        with pytest.raises(resefa.ParameterError, match="is not like"):
            parse_strength(text)
        with pytest.raises(resefa.ParameterError, match="is not like"):
            parse_parameters([text])
    for value in (2, -1, "much", None, [1], float("nan")):
        with pytest.raises(resefa.ParameterError, match="from 0 to 1"):
            parse_confine(value)
    with pytest.raises(resefa.ParameterError, match="list of numbers"):
        parse_numbers("1;2")


def test_further_samples_follow_the_largest_seed_and_are_drawn_alike() -> None:
    generator = tiny_stylegan2(16, c_dim=3)
    first = generator.sample(5, 0.6, 2, 3)
    given = [first, generator.sample(2, 0.9, 1)]
    assert further_seeds(given, 3) == [6, 7, 8]
    assert further_seeds([generator.sample(2**32 - 2, label=0)], 3) == [2**32 - 1, 0, 1]
    assert further_seeds([resefa.Latent(codes=first.codes)], 2) == [0, 1]
    found = joint_samples(generator, given, 4)
    assert [latent.seed for latent in found] == [(5,), (2,), (6,), (7,)]
    assert found[3].digest == generator.sample(7, 0.6, 2, 3).digest == like(generator, first, 7).digest
    assert joint_samples(generator, given, 1) == given


def test_effects_in_numbers_and_words() -> None:
    before = torch.zeros(3, 8, 8)
    region = resefa.Region.from_box(0.0, 0.0, 0.5, 1.0)
    after = before.clone()
    after[:, :, :4], after[:, :, 4:] = 0.3, 0.03
    effect = effect_of(before, [after, -after], region)
    assert (effect.inside, effect.outside) == pytest.approx((0.3, 0.03))
    assert effect.ratio == pytest.approx(100.0, rel=1e-3)
    assert effect.words == "strong effect, the rest hardly moves"
    assert not effect.spills
    assert Effect(0.13, 0.1).words == "clear effect, much elsewhere too"
    assert Effect(0.13, 0.1).spills
    assert Effect(0.03, 0.0).words == "little effect here"
    assert effect_of(before, [after], None).outside == 0.0


def test_progress_of_parts_is_part_of_the_whole() -> None:
    told: list[float] = []
    for index in range(2):
        own = stage(lambda done, total: told.append(done / total), index, 2)
        assert own is not None
        own(0, 4)
        own(4, 4)
    assert told == [0.0, 0.5, 0.5, 1.0]
    assert stage(None, 0, 2) is None
    steps: list[tuple[int, int]] = []
    for item in counted("ab", 2, lambda done, total: steps.append((done, total))):
        steps.append((-1, "ab".index(item)))
    assert steps == [(-1, 0), (1, 2), (-1, 1), (2, 2)]
