"""What a guest tells: a line of JSON a finding, and one at the end."""

import json
from dataclasses import dataclass

PARTS = ("devices", "privileges", "suite")


@dataclass(frozen=True)
class Finding:
    """`told` is what was seen, `wrong` what is not as it should be (empty: nothing is)."""

    group: str
    what: str
    rung: str
    told: str
    wrong: str

    def __post_init__(self) -> None:
        if not all(isinstance(value, str) for value in vars(self).values()):
            raise TypeError(f"not all texts: {self}")


def parse(text: str, release: str) -> list[Finding]:
    """All of a guest's findings. Raises ValueError where one is missing or is none, or another kernel tells them."""
    try:
        *lines, end = [json.loads(line) for line in text.splitlines()]
        found = [Finding(**line) for line in lines]
    except (ValueError, TypeError) as error:
        raise ValueError(f"what it told is cut off, or not its own ({error})") from None
    if end != {"end": len(found), "release": release}:
        raise ValueError(f"after {len(found)} findings of {release} it ends with {end}")
    return found
