"""Filters by chance, of the fields, operators and values that occur in rows."""

import random
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import numpy as np

from headwater.filters import Filter
from headwater.filters.fields import FIELDS, Field, Place
from headwater.records import ENUMS, Batch

COMPARE = ("==", "==", "!=", "<", "<=", ">", ">=", "eq", "ne", "lt", "le", "gt", "ge")
AND, OR, NOT = ("&&", "and"), ("||", "or"), ("!", "not ")


class Maker:
    """Makes tests of fields out of what a batch holds, and filters of tests."""

    def __init__(self, batch: Batch, chance: random.Random) -> None:
        self._batch = batch
        self._chance = chance

    def test(self, name: str) -> str:
        """A test of that field, with values that some packet has, or nearly."""
        field = FIELDS[name]
        if field.kind == "protocol":
            return name
        values = [self._value(field) for _ in range(self._chance.randint(1, 4))]
        match field.kind:
            case "number":
                return self._number(name, [int(value) for value in values])
            case "flag":
                return f"{name} {self._chance.choice(('==', 'eq', '!='))} {self._chance.randint(0, 1)}"
            case "ipv4" | "ipv6":
                texts = [self._network(value.tobytes()) for value in values]
            case "mac":
                texts = [value.tobytes().hex(":") for value in values]
            case "interface":
                texts = [f'"{self._batch.interfaces[int(value)]}"' for value in values]
            case _:
                names = ENUMS[f"hw_{field.kind}"]
                texts = [names[int(value)] for value in values if value]
                if not texts or self._chance.random() < 0.2:
                    return name
        return self._among(name, texts)

    def _among(self, name: str, texts: list[str]) -> str:
        if len(texts) > 2:
            return f"{name} in {{{', '.join(dict.fromkeys(texts))}}}"
        return f"{name} {self._chance.choice(('==', '!=', 'eq'))} {texts[0]}"

    def _value(self, field: Field) -> Any:
        """One that occurs; 0 if none does."""
        for place in self._chance.sample(field.places, len(field.places)):
            values = self._batch.rows[self._there(place)][self._chance.choice(place.columns)]
            if field.kind in ("ipv4", "ipv6"):
                octets = np.ascontiguousarray(values).view(np.uint8).reshape(-1, 16)
                mapped = (octets[:, :12] == np.frombuffer(bytes(10) + b"\xff\xff", np.uint8)).all(axis=1)
                values = values[mapped if field.kind == "ipv4" else ~mapped]
            if len(values):
                return values[self._chance.randrange(len(values))]
        return 0

    def _there(self, place: Place) -> Any:
        rows = self._batch.rows
        there = (rows["has"] & np.uint32(place.needs)) == place.needs
        return there & (rows[place.about] == place.number) if place.about else there

    def _number(self, name: str, values: list[int]) -> str:
        def shown(value: int) -> str:
            return hex(value) if self._chance.random() < 0.3 else str(value)

        if self._chance.random() < 0.15:
            bits = values[0] or 1
            test = f"{name} & {shown(bits)}"
            return test if self._chance.random() < 0.5 else f"{test} {self._chance.choice(('==', '!='))} {shown(values[-1] & bits)}"
        if len(values) < 3:
            never = (">", "gt") if values[0] == FIELDS[name].most else ("<", "lt") if not values[0] else ()
            return f"{name} {self._chance.choice([sign for sign in COMPARE if sign not in never])} {shown(values[0])}"
        dots = self._chance.choice(("..", " .. "))
        ranges = [shown(value) for value in values[2:]] + [f"{min(values[:2])}{dots}{max(values[:2])}"]
        return f"{name} in {{{', '.join(dict.fromkeys(ranges))}}}"

    def _network(self, octets: bytes) -> str:
        """The address, or a prefix of any length that holds it."""
        mapped = IPv6Address(octets).ipv4_mapped
        address: IPv4Address | IPv6Address = mapped or IPv6Address(octets)
        if self._chance.random() < 0.4:
            return str(address)
        return str(ip_network(f"{address}/{self._chance.randint(0, address.max_prefixlen)}", strict=False))

    def filter(self, fields: list[str], tests: int) -> str:
        """A filter of so many tests of those fields."""
        if tests == 1:
            test = self.test(self._chance.choice(fields))
            return f"{self._chance.choice(NOT)}({test})" if self._chance.random() < 0.15 else test
        left = self._chance.randint(1, tests - 1)
        signs = AND if self._chance.random() < 0.5 else OR
        whole = f"{self.filter(fields, left)} {self._chance.choice(signs)} {self.filter(fields, tests - left)}"
        if self._chance.random() < 0.2:
            return f"{self._chance.choice(NOT)}({whole})"
        return f"({whole})" if self._chance.random() < 0.5 else whole

    def telling(self, fields: list[str], tests: int, tries: int = 20) -> str:
        """One that keeps some packets and refuses some, if it is found in so many tries."""
        for _ in range(tries):
            text = self.filter(fields, tests)
            kept = int(Filter(text).mask(self._batch).sum())
            if 0 < kept < len(self._batch):
                break
        return text
