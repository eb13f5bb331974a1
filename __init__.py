"""Entry point of the ComfyUI node pack: the web folder and the extension that ComfyUI loads from here."""

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> object:
    """Return the extension. The import is local so that this folder can be imported without ComfyUI."""
    from .nodes import PortraitTalkExtension

    return PortraitTalkExtension()
