"""QUIC as a library in use speaks it: `serve ADDRESS PORT CERTIFICATE KEY` says back what it is told, `ask ADDRESS PORT NAME` is told."""

import asyncio
import ssl
import sys

from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration

PROTOCOL = "echo"


async def answer(address: str, port: str, certificate: str, key: str) -> None:
    """Until it is ended."""
    tasks = set()  # the loop itself keeps none

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.write_eof()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(echo(reader, writer)))

    configuration = QuicConfiguration(is_client=False, alpn_protocols=[PROTOCOL])
    configuration.load_cert_chain(certificate, key)
    await serve(address, int(port), configuration=configuration, stream_handler=begin)
    await asyncio.Event().wait()


async def ask(address: str, port: str, name: str) -> None:
    """Once."""
    configuration = QuicConfiguration(alpn_protocols=[PROTOCOL], server_name=name, verify_mode=ssl.CERT_NONE)
    async with connect(address, int(port), configuration=configuration) as connection:
        reader, writer = await connection.create_stream()
        writer.write(b"here")
        writer.write_eof()
        assert await reader.read() == b"here"


asyncio.run({"serve": answer, "ask": ask}[sys.argv[1]](*sys.argv[2:]))
