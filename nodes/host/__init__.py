"""Access to ComfyUI's internals: the only folder that imports ``comfy`` and ``folder_paths``."""
