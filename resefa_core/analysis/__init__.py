"""The Jacobian of an image with respect to a latent: the expensive step, done once per image.

`compute_jacobian` analyses a latent; `factorize` then answers for any region of that image. Where the
latent space is small the Jacobian is formed and kept (`DenseJacobian`); where it is large it is only
applied, and a sketch of it is kept (`MatrixFreeJacobian`). Both are a `LinearOperator`.
"""

from __future__ import annotations

from .budget import (
    ANALYSIS_SIDE,
    DENSE_DIMENSION,
    Kind,
    KindChoice,
    analysis_size,
    budget_of_each,
    chosen_kind,
    images_at_once,
    kind_for,
    memory_for,
    shrunk,
)
from .cache import JacobianCache
from .compute import Estimate, compute_jacobian, estimate
from .dense import DenseJacobian
from .derivative import ImageDerivative, analysed, derivative_at
from .jacobian import Jacobian, Subject
from .joint import JointJacobian
from .matrix_free import MatrixFreeJacobian, applied
from .operator import LinearOperator
from .sketch import Sketch, orthonormal
from .store import load_jacobian

__all__ = [
    "ANALYSIS_SIDE",
    "DENSE_DIMENSION",
    "DenseJacobian",
    "Estimate",
    "ImageDerivative",
    "Jacobian",
    "JacobianCache",
    "JointJacobian",
    "Kind",
    "KindChoice",
    "LinearOperator",
    "MatrixFreeJacobian",
    "Sketch",
    "Subject",
    "analysed",
    "analysis_size",
    "applied",
    "budget_of_each",
    "chosen_kind",
    "compute_jacobian",
    "derivative_at",
    "estimate",
    "images_at_once",
    "kind_for",
    "load_jacobian",
    "memory_for",
    "orthonormal",
    "shrunk",
]
