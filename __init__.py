"""PortraitTalk for ComfyUI: what ComfyUI looks for when it loads this folder, and nothing else."""

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> object:
    """The extension. Imported here and not above, so that tools may import this folder where there is no ComfyUI."""
    from .nodes import PortraitTalkExtension

    return PortraitTalkExtension()
