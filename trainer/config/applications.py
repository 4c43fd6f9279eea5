"""The networks of keras.applications, and how each standardizes its images (`preprocess_input`)."""

from typing import Literal

PREFIX = "keras:"

_Standardize = Literal["none", "x/127.5-1", "caffe", "torch"]

_FAMILIES: dict[_Standardize, tuple[str, ...]] = {
    # Their first layers do it.
    "none": (
        *(f"ConvNeXt{size}" for size in ("Base", "Large", "Small", "Tiny", "XLarge")),
        *(f"EfficientNetB{number}" for number in range(8)),
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *("MobileNetV3Large", "MobileNetV3Small"),
    ),
    "x/127.5-1": (
        *("InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2", "NASNetLarge", "NASNetMobile"),
        *("ResNet50V2", "ResNet101V2", "ResNet152V2", "Xception"),
    ),
    "caffe": ("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19"),
    "torch": ("DenseNet121", "DenseNet169", "DenseNet201"),
}

APPLICATIONS = {
    f"{PREFIX}{name}": standardize for standardize, names in _FAMILIES.items() for name in sorted(names)
}
"""`keras:NAME` -> its standardization, in 0..255."""
