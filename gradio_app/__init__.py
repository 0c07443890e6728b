"""The Gradio demo: a thin shell over the core."""
