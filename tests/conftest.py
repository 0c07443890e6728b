from __future__ import annotations

import os

import pytest
import torch

import resefa_core

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


@pytest.fixture(scope="session")
def avatars() -> resefa_core.Generator:
    return resefa_core.load_generator("avatars")
