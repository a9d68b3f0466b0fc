"""How a tap's programs come to an interface: tcx or XDP links, or clsact filters; by this process, or one that may where it may not."""

import os
import socket
from collections.abc import Callable, Sequence

from headwater.errors import KernelError
from headwater.kernel import clsact, hooks, libbpf
from headwater.kernel.ethtool import card
from headwater.kernel.interfaces import Interface, interfaces
from headwater.kernel.spare import SpareSockets


class Attached:
    """One interface, its links, and the packet socket that asked its card for everybody's frames."""

    def __init__(self, interface: Interface, links: Sequence[int | clsact.Attached], promiscuous: int | None) -> None:
        self.name = interface.name
        self.up = interface.up
        self._links = list(links)
        self._promiscuous = promiscuous

    @property
    def first(self) -> bool:
        """Whether no filter of others can end a packet before ours has seen it."""
        return all(link.first for link in self._links if isinstance(link, clsact.Attached))

    @property
    def goes_with_interface(self) -> bool:
        """Whether only the interface's end ends it; a clsact filter goes with its qdisc too."""
        return isinstance(self._links[0], int)

    def is_there(self) -> bool:
        """Whether it still sees packets."""
        return hooks.is_attached(self._links[0])

    def detach(self) -> None:
        """Take it away; safe to call twice."""
        for link in self._links:
            hooks.detach(link)
        self._links = []
        if self._promiscuous is not None:
            os.close(self._promiscuous)
            self._promiscuous = None

    def leave(self, spare: SpareSockets) -> None:
        """The interface is gone, and what the socket asked it for: the socket can serve again."""
        if self._promiscuous is not None:
            spare.put_back(self._promiscuous)
            self._promiscuous = None
        self.detach()


class Attacher:
    """Attaches `programs` of a loaded object (in, and out for hooks that see both ways), the way that `hook` says.

    `generic`, `metadata` and `promiscuous` are as in sources/tap.py; `report` takes what a user should know.
    """

    def __init__(
        self,
        loaded: libbpf.Object,
        programs: Sequence[str],
        hook: str,
        *,
        generic: bool,
        metadata: bool,
        promiscuous: bool,
        report: Callable[[str], None],
    ) -> None:
        self._object = loaded
        self._programs = tuple(programs)
        self._hook = hook
        self._generic = generic
        self._metadata = metadata
        self._promiscuous = promiscuous
        self._report = report
        self._filters = clsact.Filters() if hook == "clsact" else None
        self._ask: Callable[[int], int | None] | None = None
        self.spare = SpareSockets()

    def open(self) -> None:
        """Once the programs are loaded, make what attaching takes. Raises PermissionDenied or a KernelError."""
        if self._promiscuous:
            self.spare.open()
        for index in clsact.clean():
            self._report(f"removed what a killed run had left on {interfaces()[index].name}")
        if self._filters:
            self._filters.open(*(self._object.program(name) for name in self._programs))

    def close(self) -> None:
        """Give it back; what is attached has been detached before."""
        if self._filters:
            self._filters.close()
        self.spare.close()

    def attach(self, interface: Interface) -> Attached:
        """Raises a KernelError, and leaves nothing, if it is refused; clsact.InterfaceGone if it is no longer there."""
        links: list[int | clsact.Attached] = []
        index, name = interface.index, interface.name
        try:
            if self._hook == "xdp":
                _refuse_bond(interface)
                links.append(self._attach_xdp(index, name))
            else:
                # loopback shows each packet twice; what arrives is all
                for out, program in enumerate(self._programs[:1] if interface.loopback else self._programs):
                    if self._filters:
                        links.append(self._filters.attach(index, name, egress=bool(out)))
                    else:
                        links.append(hooks.attach_tcx(self._object.program(program), index, name, egress=bool(out)))
            promiscuous = self.spare.promiscuous(index) if self._promiscuous else None
        except BaseException:
            for link in links:
                hooks.detach(link)
            raise
        attached = Attached(interface, links, promiscuous)
        if not attached.first:
            self._report(f"others' filters on {name} come before ours: packets that they end are not seen")
        return attached

    def merged(self, interface: Interface) -> str:
        """Why generic XDP would count wrongly on it; "" if it does not."""
        if self._hook == "xdp" and self._generic and card(interface.name).gro:
            name = interface.name
            return f"generic XDP on {name} would count packets that GRO merged as one: turn it off with `ethtool -K {name} gro off`"
        return ""

    def _attach_xdp(self, index: int, name: str) -> int:
        """With a program that may ask this card for what it knows of a packet, if that is wanted and the kernel has it."""
        if self._ask and (link := self._ask(index)):
            return link
        if self._metadata:
            try:
                with libbpf.Object("bound", self._programs, shares=self._object, device=index) as bound:
                    return hooks.attach_xdp(bound.program(self._programs[0]), index, name)
            except KernelError as error:
                self._report(f"{name} is not asked for times, hashes and VLAN tags, which takes kernel 6.8 and its driver: {error}")
        return hooks.attach_xdp(self._object.program(self._programs[0]), index, name, generic=self._generic)

    # -- where only another process may (kernel/keeper.py), which is a fork of this one --------------------------------------------

    def ask(self, other: Callable[[int], int | None]) -> None:
        """From now on it attaches and detaches where that takes a capability each time: it is called with a number."""
        if self._filters:
            self._filters.ask = other
        self._ask = other

    def act(self, number: int) -> int | None:
        """There: do what the number says. Returns a link, if any. Raises KernelError or OSError."""
        if not self._filters:
            return self._attach_xdp(number, socket.if_indextoname(number))
        self._filters.act(number)
        return None

    def descriptors(self) -> list[int]:
        """What it needs of this process."""
        return self._object.descriptors() if self._metadata else [self._object.program(name) for name in self._programs]

    def end(self) -> None:
        """There: the run has ended, and may have left something."""
        if self._filters:
            self._filters.detach_all()


def _refuse_bond(interface: Interface) -> None:
    """The kernel runs a bond's XDP program on the ports, whose numbers are then those of the packets (drivers/net/bonding/bond_main.c)."""
    if interface.kind == "bond":
        ports = " ".join(f"-i {one.name}" for one in interfaces().values() if one.master == interface.index)
        raise KernelError(
            f"XDP on {interface.name} would run on its ports and count there: listen on these instead ({ports or 'it has none'})"
        )
