"""Everything that PortraitTalk needs of ComfyUI itself. The only folder that imports ``comfy`` and ``folder_paths``."""
