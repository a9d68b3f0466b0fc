"""Every error that Headwater raises for its own sake. Traffic is never one: a malformed packet is a weird.

Each message is one line that ends with what to do next (ConfigError: one for each mistake); the commands print it and leave with
`exit_code`.
"""

import errno

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What a write fails with where a disk, a quota or a limit is full."""


class HeadwaterError(Exception):
    """What the commands catch."""

    exit_code = 1


class ConfigError(HeadwaterError):
    """A setting that cannot be: `where` is a file and line, the command line or a variable. `more` are further ones, a line each."""

    exit_code = 2

    def __init__(self, where: str, problem: str, *more: str) -> None:
        super().__init__("\n".join([f"{where}: {problem}", *more]))


class FilterError(HeadwaterError):
    """A filter's text that is none: what is wrong, and below it the text with a caret under the place."""

    exit_code = 2
    _SHOWN = 100

    def __init__(self, problem: str, text: str, at: int) -> None:
        begin = max(0, at - self._SHOWN // 2)
        shown = "".join(c if c.isprintable() else "?" for c in text[begin : begin + self._SHOWN])
        super().__init__(f"filter: {problem}\n  {shown}\n  {' ' * (at - begin)}^")
        self.problem = problem
        self.at = at


class KernelError(HeadwaterError):
    """The kernel refused something."""

    exit_code = 3


class Unsupported(KernelError):
    """This kernel or device lacks `feature`; `needs` says what would have it."""

    def __init__(self, feature: str, needs: str) -> None:
        super().__init__(f"{feature} is not possible here: it needs {needs}")


class PermissionDenied(KernelError):
    """A capability is missing."""

    exit_code = 4

    def __init__(self, action: str, capability: str) -> None:
        super().__init__(f"{action} needs {capability}: run as root (sudo), or read a capture file, which needs no privilege")


class VerifierRejected(KernelError):
    """The verifier refused a program; `lines` are the last of its log."""

    def __init__(self, program: str, lines: list[str]) -> None:
        super().__init__(f"the kernel's verifier refused {program}; please report this with the kernel's version: {' / '.join(lines)}")


class LayoutMismatch(KernelError):
    """A BPF object and the schema disagree about a struct: files of two versions are mixed."""

    def __init__(self, struct: str, expected: int, found: int) -> None:
        super().__init__(f"struct {struct} has {found} octets in the BPF object and {expected} in the schema: install Headwater again")


class SourceError(HeadwaterError):
    """A source cannot be read, or not further. What was read before is kept."""

    exit_code = 5


class SinkError(HeadwaterError):
    """A sink did not take a batch. A retryable one is offered again, the other is counted as dropped{sink, rejected}.

    `after_s` is how long to leave the other side alone: its own wish (Retry-After), or where nothing changes until somebody acts.
    """

    exit_code = 6

    def __init__(self, problem: str, *, retryable: bool, after_s: float = 0.0) -> None:
        super().__init__(problem)
        self.retryable = retryable
        self.after_s = after_s


class StoreError(HeadwaterError):
    """The store cannot be opened, cannot take something, or will not answer."""

    exit_code = 7


class QueryRefused(HeadwaterError):
    """A query's text that the store does not hand to its engine: what is wrong with it, and what to do instead."""

    exit_code = 2

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"this query is refused: {problem}; {advice}")


class OutputClosed(SinkError):
    """Whoever read our output has gone (`| head`): the end of the run, and no error. The commands print nothing and leave with 0."""

    exit_code = 0

    def __init__(self) -> None:
        super().__init__("the reader of the output has gone", retryable=False)
