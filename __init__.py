"""ComfyUI's entry point to the pack; the library is `resefa_core`."""

if __package__:
    from .nodes.extension import comfy_entrypoint

    WEB_DIRECTORY = "./web"
    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
