"""ComfyUI nodes: thin shells over the core. `extension.py` lists them."""
