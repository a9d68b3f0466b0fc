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
            for engine.sick in (True, False, True, False):
                answers = [http.post("/", content=b"SELECT 'spoil'") for _ in range(many)]
                told = [answer for answer in answers if answer.status_code == 507 and "memory limit" in answer.text]
                well = [answer for answer in answers if answer.status_code == 200]
                assert len(told) + len(well) == many
                if engine.sick:
                    assert len(well) <= 1, "there is a connection from before, which is thrown away behind its answer"
                else:
                    assert not told
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
