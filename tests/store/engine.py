"""An engine as the store has it, in a process of its own: one folder a process, and nothing forked of it, is what chDB allows.

As a program: its folder and the value of `readonly` are the arguments, a query a line of JSON, and so is its answer.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from store.queries import TABLES

HERE = Path(__file__).resolve().parent


class Engine:
    """Takes texts as they are: nothing stands between them and it."""

    def __init__(self, folder: Path, readonly: int = 1) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{os.environ.get('PYTHONPATH', '')}"}
        command = [sys.executable, __file__, str(folder), str(readonly)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder)
        assert self._read() == ["ready", ""]

    def ask(self, text: str, form: str = "TSV") -> str:
        """The answer; RuntimeError with the engine's words where there is none."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([text, form]) + "\n")
        self._process.stdin.flush()
        kind, answer = self._read()
        if kind == "error":
            raise RuntimeError(answer)
        return answer

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()

    def _read(self) -> list[str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the engine has died"
        return json.loads(line)


def main(folder: str, readonly: str) -> None:
    """Answers until there is nothing more to read."""
    from chdb import session  # noqa: PLC0415 - it is heavy, and only this process has it

    engine = session.Session(folder)
    engine.query("CREATE DATABASE headwater")
    engine.query("USE headwater")
    for statement in TABLES:
        engine.query(statement)
    for setting in ("join_use_nulls = 1", "max_memory_usage = 1000000000", "max_execution_time = 5", f"readonly = {readonly}"):
        engine.query(f"SET {setting}")
    print(json.dumps(["ready", ""]), flush=True)  # noqa: T201 - it is this program's answer
    for line in sys.stdin:
        text, form = json.loads(line)
        try:
            answer = ["answer", engine.query(text, form).bytes().decode(errors="replace")]
        except Exception as problem:
            answer = ["error", str(problem)]
        print(json.dumps(answer), flush=True)  # noqa: T201
    os._exit(0)  # chDB's own end may crash


if __name__ == "__main__":
    main(*sys.argv[1:])
