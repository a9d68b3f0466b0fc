"""Amounts in few cells: what pictures on a terminal show of numbers."""

_PREFIXES = tuple(zip("kMGTPE", (10.0**exponent for exponent in range(3, 19, 3)), strict=True))


def count(number: float, unit: str = "") -> str:
    """In at most six characters and the unit: 1,234, 56.7k, 8.90M."""
    if number < (1000 if unit else 9999.5):
        return f"{number:,.0f} {unit}".rstrip()
    scaled, prefix = next(((number / size, prefix) for prefix, size in _PREFIXES if number < size * 999.5), (number / 1e18, "E"))
    return f"{scaled:.{_decimals(scaled)}f}{' ' if unit else ''}{prefix}{unit}"


def many(number: int, what: str) -> str:
    """1 row, 1,234 rows."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def interval(nanoseconds: float) -> str:
    """A short time, in six characters: 0.12ms, 34.5ms, 678ms, 9.01s, 234s."""
    amount, unit = (nanoseconds / 1e6, "ms") if nanoseconds < 999.5e6 else (nanoseconds / 1e9, "s")
    return f"{amount:.{_decimals(amount)}f}{unit}"


def age(nanoseconds: int) -> str:
    """How long something has lasted, in six characters: 0.4s, 59s, 12:34, 5h06m, 7d08h, 1234d."""
    seconds = nanoseconds // 1_000_000_000
    if seconds < 10:
        return f"{nanoseconds / 1e9:.1f}s"
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d}"
    if seconds < 86_400:
        return f"{seconds // 3600}h{seconds // 60 % 60:02d}m"
    days = seconds // 86_400
    return f"{days}d{seconds // 3600 % 24:02d}h" if days < 100 else f"{days}d"


def elapsed(seconds: float) -> str:
    """A clock's time: 0:00:59, 12:34:56."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def percent(part: float) -> str:
    """A part of 1, in four characters: 0.5%, 12%, 100%; 0% only of nothing at all."""
    if not part:
        return "0%"
    return f"{part:.1%}" if part < 0.0995 else f"{part:.0%}"


def _decimals(amount: float) -> int:
    return 2 if amount < 9.995 else 1 if amount < 99.95 else 0
