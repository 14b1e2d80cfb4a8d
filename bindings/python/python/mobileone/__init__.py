"""MobileOne image classification on any GPU, and on the CPU where there is none.

    import mobileone
    model = mobileone.Model("s0")
    for top in model("cat.jpg"):
        print(f"{top.probability:6.1%}  {top.label}")
"""

from ._native import Device, Error, Model, Top, __version__, devices

__all__ = ["Device", "Error", "Model", "Top", "__version__", "devices"]
