"""MobileOne image classification on any GPU, and on the CPU where there is none.

    import mobileone
    model = mobileone.Model("s0")
    for top in model("cat.jpg"):
        print(f"{top.probability:6.1%}  {top.label}")

What goes wrong is a mobileone.Error. One that the system says of a file is Python's own class too, such as
FileNotFoundError.
"""

from ._native import Device, Error, Model, Top, __version__, devices

# Errors that are Python's own too: pickle finds them here, and a star import leaves Python's alone.
from ._native import FileNotFoundError, IsADirectoryError, OSError, PermissionError  # noqa: F401

__all__ = ["Device", "Error", "Model", "Top", "__version__", "devices"]
