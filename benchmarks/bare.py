"""The least that FastAPI can do: handlers that read what they are sent and return a constant."""

import sys

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import Response

from serving.server import config


def app(size: int) -> FastAPI:
    """Return the application; its answers have ``size`` bytes."""
    bare = FastAPI(openapi_url=None)
    body = b'"' + b"x" * (size - 2) + b'"'

    @bare.get("/{path:path}")
    async def read(path: str) -> Response:  # noqa: ARG001
        return Response(body, media_type="application/json")

    @bare.post("/{path:path}")
    async def write(path: str, request: Request) -> Response:  # noqa: ARG001
        await request.body()
        return Response(body, 202, media_type="application/json")

    return bare


if __name__ == "__main__":
    _, port, size = sys.argv
    bare_config = config(app(int(size)))
    bare_config.port = int(port)
    uvicorn.Server(bare_config).run()
