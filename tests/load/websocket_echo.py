"""A WebSocket echo by the library `websockets`, on the port that the command line names."""

import asyncio
import sys

import websockets


async def echo(connection, _path=None):
    async for message in connection:
        await connection.send(message)


async def main():
    port = int(sys.argv[1])
    async with websockets.serve(echo, "127.0.0.1", port, compression=None):
        await asyncio.Future()


asyncio.run(main())
