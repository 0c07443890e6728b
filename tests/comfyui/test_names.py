"""Names of files in a real ComfyUI: odd ones work or are refused in words, and the server goes on."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from comfy_server import BUNDLED, ComfyUI, Prompt, node


def sampled(name: str = "avatars", seed: int = 3, **more: dict[str, Any]) -> Prompt:
    sample = node("SampleGANLatent", gan=["load", 0], seed=seed, truncation=0.7, batch_size=1, class_index=0)
    return {"load": node("LoadGAN", name=name), "sample": sample, **more}


def error(comfyui: ComfyUI, prompt: Prompt) -> dict[str, Any]:
    """What is told of a graph that is queued and then fails."""
    done = comfyui.wait(comfyui.queue(prompt))
    (found,) = [message for kind, message in done["status"]["messages"] if kind == "execution_error"]
    return dict(found)


@pytest.mark.parametrize("name", ["a\ud800b", "gut\udce9", "a\nb", "..", "~/b", "<b>", "x" * 300, "", None])
@pytest.mark.parametrize("kind", ["latent", "image"])
def test_bad_names_are_refused_in_words_and_the_server_goes_on(
    kind: str, name: str | None, comfyui: ComfyUI
) -> None:
    save = (
        node("SaveGANLatent", latent=["sample", 0], filename=name)
        if kind == "latent"
        else node("SaveGANImage", image=["sample", 1], latent=["sample", 0], filename_prefix=name)
    )
    status, answer = comfyui.post("/prompt", {"prompt": sampled(save=save)})
    if status == 200:
        done = comfyui.wait(str(answer["prompt_id"]))
        if name is not None:
            (told,) = [text for about, text in done["status"]["messages"] if about == "execution_error"]
            assert "name a file" in told["exception_message"]
            assert told["exception_type"] == "resefa.ReSeFaError"
    preview = {"class_type": "PreviewImage", "inputs": {"images": ["sample", 1]}}
    comfyui.run(sampled(seed=abs(hash((kind, name))) % 2**32, show=preview))


def test_a_generator_whose_name_is_not_utf8_is_listed_and_loaded(comfyui: ComfyUI) -> None:
    name = "gut\udce9.safetensors"
    folder = comfyui.base / "models" / "stylegan"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(BUNDLED, folder / name)
    offered = comfyui.get("/object_info/ReSeFa_LoadGAN")["ReSeFa_LoadGAN"]["input"]["required"]["name"]
    assert name in offered[1]["options"]
    preview = {"class_type": "PreviewImage", "inputs": {"images": ["sample", 1]}}
    keep = node("SaveGANLatent", latent=["sample", 0], filename="of-gut")
    outputs = comfyui.run(sampled(name, show=preview, keep=keep))
    assert comfyui.picture(outputs["show"]["images"][0]).is_file()


def test_a_broken_generator_whose_name_is_not_utf8_stops_nothing(comfyui: ComfyUI) -> None:
    name = "schlecht\udce9.pt"
    folder = comfyui.base / "models" / "stylegan"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"nothing that is known")
    preview = {"class_type": "PreviewImage", "inputs": {"images": ["sample", 1]}}
    told = error(comfyui, sampled(name, show=preview))
    assert told["exception_type"] == "resefa.CheckpointError"
    assert "schlecht\\udce9.pt" in told["exception_message"]
    comfyui.run(sampled(seed=99, show=preview))


def test_latents_in_subfolders_are_offered(comfyui: ComfyUI) -> None:
    comfyui.run(sampled(keep=node("SaveGANLatent", latent=["sample", 0], filename="faces/anna")))
    offered = comfyui.get("/object_info/ReSeFa_LoadGANLatent")["ReSeFa_LoadGANLatent"]["input"]["required"]
    name = "gan_latents/faces/anna.safetensors [output]"
    assert name in offered["file"][1]["options"]
    prompt: Prompt = {
        "load": node("LoadGAN", name="avatars"),
        "latent": node("LoadGANLatent", gan=["load", 0], file=name),
        "show": {"class_type": "PreviewImage", "inputs": {"images": ["latent", 1]}},
    }
    assert comfyui.run(prompt)["show"]["images"]
