"""What new architectures and shapes go through: load, draw, analyse, factorize, edit, confine, convert."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from models import reference_jacobian

import resefa_core as resefa
from resefa_core.checkpoints import convert_generator, describe

BOX = resefa.Region.from_box(0.25, 0.25, 0.4, 0.35)


def take(file: Path, source: resefa.Generator, folder: Path, space: str | None = None) -> resefa.Generator:
    """Take a generator's file the whole path, and return what was loaded.

    Args:
        file: in a layout of another project.
        source: the generator that was written.
        folder: for what is written on the way.
        space: the analysis's; the generator's first by default.
    """
    generator = resefa.load_generator(file)
    label = 1 if generator.num_classes else None
    latent = generator.sample(3, 0.8, label)
    image = generator.synthesize(latent)
    assert image.shape == (1, 3, *generator.image_size)
    assert image.std() > 0.01
    torch.testing.assert_close(image, source.synthesize(source.sample(3, 0.8, label)), rtol=1e-4, atol=1e-4)

    convert_generator(file, folder / "converted.safetensors")
    again = resefa.load_generator(folder / "converted.safetensors")
    assert again.fingerprint == generator.fingerprint
    assert torch.equal(again.synthesize(latent), image)
    again.save(folder / "saved.safetensors")
    assert torch.equal(resefa.load_generator(folder / "saved.safetensors").synthesize(latent), image)
    stated = [json.loads(describe(each)["arguments"]) for each in (file, folder / "converted.safetensors")]
    assert stated[0] == stated[1]

    space = space or generator.spaces[0]
    layers = generator.check_layers(None)
    jacobian = resefa.compute_jacobian(generator, latent, space, kind="dense")
    assert isinstance(jacobian, resefa.analysis.DenseJacobian)
    expected = reference_jacobian(generator, latent, space, layers, jacobian.dimension)
    scale = float(expected.abs().max())
    torch.testing.assert_close(jacobian.matrix.double(), expected, atol=1e-4 * scale, rtol=1e-3)
    free = resefa.compute_jacobian(generator, latent, space, kind="matrix-free")
    vector, cotangent = torch.randn(2, jacobian.dimension), torch.randn(2, 3, *generator.image_size)
    forward = (free.jvp(vector) * cotangent).sum(dim=(1, 2, 3))
    torch.testing.assert_close(
        forward, (free.vjp(cotangent) * vector).sum(dim=1), rtol=1e-3, atol=1e-3 * scale
    )

    directions = resefa.factorize(jacobian, BOX, 2)
    directions.save(folder / "directions.safetensors")
    directions = resefa.Directions.load(folder / "directions.safetensors")
    moved = resefa.move(latent, directions, {0: 2.0})
    assert (again.synthesize(moved) - image).square().mean() > 1e-6
    if generator.can_confine:
        edited = resefa.edit(generator, latent, directions, {0: 2.0}, confine=1.0)
        change = (edited - image).square().mean(dim=1)[0]
        plain = (generator.synthesize(moved) - image).square().mean(dim=1)[0]
        mask = BOX.mask(*generator.image_size)
        inside, outside = (change * mask).sum() / mask.sum(), (change * (1 - mask)).sum() / (1 - mask).sum()
        assert inside > outside
        assert not torch.allclose(change, plain)
    session = resefa.Session(generator, latent=latent)
    found = session.find(BOX, count=1)
    session.edit(found, {0: 1.0})
    assert session.picture.size == generator.image_size[::-1]
    strip = next(iter(session.strips(found)))
    sheet = resefa.contact_sheet([list(strip.images)])
    assert min(sheet.size) > 0
    assert strip.picture().width > 0
    assert resefa.show_region(session.image, BOX).width * generator.image_size[0] == (
        resefa.show_region(session.image, BOX).height * generator.image_size[1]
    )
    return generator
