"""What begins the store's process anew: at each death, and not when it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import MOST_S

DYING = """
import os, signal, sys
from pathlib import Path
begun = Path(sys.argv[1])
begun.write_text(begun.read_text() + f"{{os.getpid()}}\\n" if begun.exists() else f"{{os.getpid()}}\\n")
if len(begun.read_text().splitlines()) < 2:
    {dies}
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGINT])
print("serves", flush=True)
sys.stdin.read()
sys.exit(7)
"""
KEEPING = """
import sys
from headwater.store.anew import begun_anew
sys.exit(begun_anew([sys.executable, "-c", sys.argv[2], sys.argv[1]], lambda text: print(text, file=sys.stderr), while_asked={while_asked}))
"""


@pytest.mark.parametrize("dies", ["os.kill(os.getpid(), signal.SIGSEGV)", "sys.exit(90)"])
@pytest.mark.parametrize("while_asked", [True, False])
def test_what_dies_is_begun_anew_until_it_is_to_end(dies: str, while_asked: bool, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    words = [sys.executable, "-c", KEEPING.format(while_asked=while_asked), str(begun), DYING.format(dies=dies)]
    keeping = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert keeping.stdout and keeping.stdin and keeping.stderr
    assert keeping.stdout.readline() == "serves\n"
    if while_asked:
        keeping.send_signal(signal.SIGTERM)  # is nothing to it
        keeping.stdin.close()
    else:
        keeping.send_signal(signal.SIGTERM)
    assert keeping.wait(MOST_S) == 7
    assert len(set(begun.read_text().split())) == 2
    assert keeping.stderr.read().count("has died (SIGSEGV)") == ("SEGV" in dies)
    with keeping:
        pass


def test_it_ends_with_what_keeps_it_however(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    words = [sys.executable, "-c", KEEPING.format(while_asked=False), str(begun), DYING.format(dies="pass")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as keeping:
        assert keeping.stdout and keeping.stdout.readline() == "serves\n"
        keeping.kill()
        assert keeping.stdout.read() == ""  # nobody has it open
