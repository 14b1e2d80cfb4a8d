"""The compiled half of the package `mobileone`."""

import builtins
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, Optional, Protocol, Union, final, overload

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Device",
    "Error",
    "FileNotFoundError",
    "IsADirectoryError",
    "Model",
    "OSError",
    "PermissionError",
    "Top",
    "__version__",
    "devices",
]

__version__: str

class _Image(Protocol):
    """An image of PIL."""

    @property
    def mode(self) -> str: ...
    def convert(self, mode: Any = ...) -> Any: ...

class _File(Protocol):
    """A file of bytes, or a response of urllib."""

    def read(self) -> bytes: ...

class _Response(Protocol):
    """A response of requests."""

    @property
    def content(self) -> bytes: ...

# A picture by itself, other than an array [height, width, 3 or 4] of uint8.
_Picture = Union[str, PathLike[str], bytes, bytearray, memoryview, _File, _Response, _Image]
_Pictures = Union[list[Any], tuple[Any, ...]]
_Values = NDArray[np.float32]

class Error(Exception):
    """What went wrong, in one line that names the thing and what to do about it."""

class FileNotFoundError(Error, builtins.FileNotFoundError):
    """A mobileone.Error that is Python's own FileNotFoundError too."""

class PermissionError(Error, builtins.PermissionError):
    """A mobileone.Error that is Python's own PermissionError too."""

class IsADirectoryError(Error, builtins.IsADirectoryError):
    """A mobileone.Error that is Python's own IsADirectoryError too."""

class OSError(Error, builtins.OSError):
    """A mobileone.Error that is Python's own OSError too."""

@final
class Top:
    """One of the best classes of a picture."""

    def __new__(cls, label: str, index: int, probability: float) -> Top: ...
    def __getnewargs__(self) -> tuple[str, int, float]:
        """What pickle and copy make it anew of."""
    @property
    def label(self) -> str:
        """The class's name."""
    @property
    def index(self) -> int:
        """The class."""
    @property
    def probability(self) -> float:
        """Its softmax."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class Device:
    """A device of this machine."""

    @property
    def name(self) -> str:
        """The adapter's name."""
    @property
    def backend(self) -> str:
        """vulkan, metal, dx12, gl or cpu."""
    @property
    def kind(self) -> str:
        """What it is: discrete GPU, integrated GPU, virtual GPU, GPU, software GPU, or CPU."""
    @property
    def driver(self) -> str:
        """Driver and version, as the driver says them."""
    @property
    def features(self) -> list[str]:
        """Features that matter here, such as f16, subgroups, timestamps."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...

@final
class Model:
    """A network on a device. Threads may share it: calls run without the GIL."""

    def __new__(
        cls,
        model: Union[str, PathLike[str]],
        *,
        device: str = "auto",
        dtype: str = "f32",
        threads: Optional[int] = None,
        batch: int = 1,
        top_k: int = 5,
        size: Optional[Union[int, tuple[int, int]]] = None,
        labels: Optional[Union[str, PathLike[str], Sequence[str], Mapping[int, str], Mapping[str, int]]] = None,
        weights: Optional[str] = None,
        strides: Optional[Sequence[int]] = None,
        bn_eps: Optional[float] = None,
        outputs: Optional[Sequence[str]] = None,
    ) -> Model: ...
    @overload
    def classify(
        self, pictures: _Picture, *, errors: Literal["raise"] = "raise", exif: bool = False
    ) -> list[Top]: ...
    @overload
    def classify(
        self, pictures: _Pictures, *, errors: Literal["raise"] = "raise", exif: bool = False
    ) -> list[list[Top]]: ...
    @overload
    def classify(
        self, pictures: _Picture, *, errors: Literal["return"], exif: bool = False
    ) -> Union[list[Top], Exception]: ...
    @overload
    def classify(
        self, pictures: _Pictures, *, errors: Literal["return"], exif: bool = False
    ) -> list[Union[list[Top], Exception]]: ...
    @overload
    def classify(
        self, pictures: NDArray[np.uint8], *, errors: Literal["raise", "return"] = "raise", exif: bool = False
    ) -> Any:
        """The best classes of a picture, or a list of such lists for a list of pictures.

        Of an array: a list for [height, width, 3 or 4], a list of lists for [n, height, width, 3 or 4].
        """
    @overload
    def __call__(
        self, pictures: _Picture, *, errors: Literal["raise"] = "raise", exif: bool = False
    ) -> list[Top]: ...
    @overload
    def __call__(
        self, pictures: _Pictures, *, errors: Literal["raise"] = "raise", exif: bool = False
    ) -> list[list[Top]]: ...
    @overload
    def __call__(
        self, pictures: _Picture, *, errors: Literal["return"], exif: bool = False
    ) -> Union[list[Top], Exception]: ...
    @overload
    def __call__(
        self, pictures: _Pictures, *, errors: Literal["return"], exif: bool = False
    ) -> list[Union[list[Top], Exception]]: ...
    @overload
    def __call__(
        self, pictures: NDArray[np.uint8], *, errors: Literal["raise", "return"] = "raise", exif: bool = False
    ) -> Any:
        """The best classes of a picture, or a list of such lists for a list of pictures.

        Of an array: a list for [height, width, 3 or 4], a list of lists for [n, height, width, 3 or 4].
        """
    def logits(
        self, x: Union[_Picture, _Pictures, NDArray[np.uint8], _Values], *, exif: bool = False
    ) -> _Values:
        """The scores before the softmax, [n, classes], or [classes] of one picture."""
    def features(
        self, x: Union[_Picture, _Pictures, NDArray[np.uint8], _Values], *, exif: bool = False
    ) -> _Values:
        """The pooled features before the classifier, [n, channels], or [channels] of one picture."""
    def run(
        self,
        x: Union[_Picture, _Pictures, NDArray[np.uint8], _Values],
        outputs: Optional[Sequence[str]] = None,
        *,
        exif: bool = False,
    ) -> dict[str, _Values]:
        """What the network gives by name: [n, channels, height, width] or [n, channels], without n of one picture."""
    def preprocess(
        self, pictures: Union[_Picture, _Pictures, NDArray[np.uint8]], *, exif: bool = False
    ) -> _Values:
        """What the network reads of pictures: [n, height, width, 3], or [height, width, 3] of one."""
    @property
    def name(self) -> str:
        """The name of the architecture, such as MobileOne-S0."""
    @property
    def device(self) -> Device:
        """The device that it runs on."""
    @property
    def dtype(self) -> str:
        """How weights and maps are stored: f32, f16 or f16-fast."""
    @property
    def labels(self) -> list[str]:
        """The names of the classes, in order; none where there is no classifier."""
    @property
    def batch(self) -> int:
        """Pictures that run at once: those asked for, or fewer where the device holds no more."""
    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """What run() gives, and the shapes of one picture: (channels, height, width), or (channels,) of a vector."""
    @property
    def notes(self) -> list[str]:
        """What of the file was guessed, passed over or chosen, a sentence each; the warnings come first."""
    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input."""

def devices() -> list[Device]:
    """Every device of this machine, best first; software GPUs and then the CPU come last."""
