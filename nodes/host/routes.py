"""Addresses that the pack's front-end scripts ask, such as /portraittalk/waveform?name=FILE."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from server import PromptServer

from ...portraittalk.errors import PortraitTalkError

PREFIX = "/portraittalk/"


def answer_with(topic: str, describe: Callable[[str], dict[str, Any]]) -> None:
    """Answer /portraittalk/TOPIC?name=FILE with the JSON of ``describe(FILE)``, or with the sentence of its error.

    ``describe`` runs in a thread, so that the server goes on. Without a server, as in tests, nothing is done.
    """
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.routes.get(PREFIX + topic)(handler(describe))


def handler(describe: Callable[[str], dict[str, Any]]) -> Callable[[web.Request], Any]:
    async def answer(request: web.Request) -> web.Response:
        try:
            return web.json_response(await asyncio.to_thread(describe, request.query.get("name", "")))
        except PortraitTalkError as error:
            return web.json_response({"error": str(error)}, status=400)

    return answer
