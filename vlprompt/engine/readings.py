"""Numbers of training steps that stay on the device until those of many steps are read in one copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Number = float | int | bool


class Readings:
    """Scalars that wait to be read, and what is done with them then.

    To read a number is to wait until the device has computed it, and everything before it.  What is added here is
    packed into one small tensor of its step, so that neither the step's tensors are kept nor a later change in place
    is seen; :meth:`read` copies all of them to the host at once.

    Attributes:
        pressing: whether some of the numbers are to be read at the end of their step.

    Example:
        >>> readings = Readings()
        >>> for step in range(3):
        ...     readings.add([torch.tensor(step / 2), 7], then=print)
        >>> readings.read()
        [0.0, 7]
        [0.5, 7]
        [1.0, 7]
    """

    def __init__(self) -> None:
        self.pressing = False
        self._waiting: list[_Numbers] = []

    def add(
        self, values: Sequence[Tensor | Number], then: Callable[[list[Number]], None], pressing: bool = False
    ) -> None:
        """Keep numbers, in front of all that are added later.

        Args:
            values: tensors of one element each, of any dtype and device, and numbers of the host.
            then: called with these numbers, the same that ``Tensor.item()`` returns, once they are read.
            pressing: they are to be read at the end of the step.

        Raises:
            ValueError: a tensor of several elements.
        """
        self._waiting.append(_Numbers.pack(values, then))
        self.pressing |= pressing

    def read(self) -> None:
        """Copy what waits to the host, with one copy for each device, and hand it over in the order of addition.

        What waits behind numbers whose ``then`` raises an error is dropped.
        """
        waiting, self._waiting, self.pressing = self._waiting, [], False
        devices = dict.fromkeys(device for numbers in waiting for device in numbers.packed)
        for device in devices:
            of_device = [numbers for numbers in waiting if device in numbers.packed]
            content = bytes(torch.cat([numbers.packed[device] for numbers in of_device]).cpu().numpy())
            _unpack(content, [place for numbers in of_device for place in numbers.places(device)])
        for numbers in waiting:
            numbers.then(numbers.values)


@dataclass
class _Place:
    """Where a scalar belongs: ``values[index]``."""

    values: list[Number]
    index: int
    dtype: torch.dtype


@dataclass
class _Numbers:
    """What was added at once.

    Attributes:
        values: numbers of the host; tensors, until they are read, are 0.
        packed: by device, the bytes of its scalars one after the other.
        layout: by device, index in ``values`` and dtype of these scalars.
        then: see :meth:`Readings.add`.
    """

    values: list[Number]
    packed: dict[torch.device, Tensor]
    layout: dict[torch.device, list[tuple[int, torch.dtype]]]
    then: Callable[[list[Number]], None]

    @classmethod
    def pack(cls, values: Sequence[Tensor | Number], then: Callable[[list[Number]], None]) -> _Numbers:
        scalars: dict[torch.device, list[Tensor]] = {}
        layout: dict[torch.device, list[tuple[int, torch.dtype]]] = {}
        for index, value in enumerate(values):
            if isinstance(value, Tensor):
                if value.numel() != 1:
                    raise ValueError(f'a number is a tensor of one element, got shape {tuple(value.shape)}')
                scalars.setdefault(value.device, []).append(value.detach())
                layout.setdefault(value.device, []).append((index, value.dtype))
        # A scalar without axis, whatever strides its tensor has, can be seen as bytes.
        packed = {
            device: torch.cat([scalar.reshape(()).reshape(1).view(torch.uint8) for scalar in of_device])
            for device, of_device in scalars.items()
        }
        return cls([0 if isinstance(value, Tensor) else value for value in values], packed, layout, then)

    def places(self, device: torch.device) -> list[_Place]:
        return [_Place(self.values, index, dtype) for index, dtype in self.layout[device]]


def _unpack(content: bytes, places: Sequence[_Place]) -> None:
    """Put the numbers, whose bytes are ``content``, into their places."""
    first = 0
    parts: dict[torch.dtype, list[tuple[_Place, bytes]]] = {}
    for place in places:
        last = first + place.dtype.itemsize
        parts.setdefault(place.dtype, []).append((place, content[first:last]))
        first = last
    for dtype, of_dtype in parts.items():
        numbers = torch.frombuffer(bytearray(b''.join(part for _, part in of_dtype)), dtype=dtype)
        for (place, _), number in zip(of_dtype, numbers.tolist(), strict=True):
            place.values[place.index] = number
