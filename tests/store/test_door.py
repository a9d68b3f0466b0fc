"""The door, where the engine behind it gives no connections for a while."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from headwater.store.door import READERS, Door
from headwater.store.engine import EngineError


class Engine:
    """What the door asks of one."""

    def __init__(self) -> None:
        self.sick = False
        self.spoilt = False

    def connect(self) -> "Engine":
        if self.sick:
            raise EngineError("Code: 241. DB::Exception: (total) memory limit exceeded")
        return Engine()

    def stream(self, sql: str, *_: object, **__: object) -> Iterator[bytes]:
        self.spoilt = "spoil" in sql
        yield b"1\n"

    def close(self) -> None:
        """Nothing."""


def test_who_gets_no_connection_is_told_and_costs_no_reader(tmp_path: Path) -> None:
    engine = Engine()
    door = Door(engine.connect, engine.connect, "token", 10.0, pytest.fail, lambda: None)  # type: ignore[arg-type]
    door.open(tmp_path / "sock")
    transport = httpx2.HTTPTransport(uds=str(tmp_path / "sock"))
    try:
        with httpx2.Client(transport=transport, base_url="http://store", headers={"X-ClickHouse-Key": "token"}, trust_env=False) as http:
            many = 2 * READERS
            for engine.sick, expected in (
                (True, [507] * many),
                (False, [200] * many),
                (True, [200] + [507] * many),  # the first has a connection that is thrown away behind it
                (False, [200] * many),
            ):
                answers = [http.post("/", content=b"SELECT 'spoil'") for _ in expected]
                assert [answer.status_code for answer in answers] == expected
                assert all(("memory limit" in answer.text) == (answer.status_code == 507) for answer in answers)
    finally:
        door.close()


@pytest.mark.parametrize(("listen", "warned"), [("127.0.0.1:0", False), ("[::1]:0", False), ("0.0.0.0:0", True)])
def test_who_listens_for_others_is_told_what_that_means(listen: str, warned: bool) -> None:
    said: list[str] = []
    engine = Engine()
    door = Door(engine.connect, engine.connect, "token", 10.0, said.append, lambda: None)  # type: ignore[arg-type]
    door.listen(listen)
    door.close()
    assert [line.startswith("store: nothing is encrypted at 0.0.0.0:") for line in said] == [True] * warned
