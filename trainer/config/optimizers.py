"""Keras's optimizers by name: their arguments, and what each of them may be."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from trainer.config.explain import plain, quoted

Name = Literal["sgd", "adam", "adamw", "rmsprop", "adagrad", "nadam"]


def refuse_bool(value: Any) -> Any:
    """Refuses true and false as numbers: pydantic accepts true as 1."""
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


_NoBool = BeforeValidator(refuse_bool)
_Fraction = Annotated[float, _NoBool, Field(ge=0, le=1)]
_Decay = Annotated[float, _NoBool, Field(ge=0, lt=1)]
_Positive = Annotated[float, _NoBool, Field(gt=0, le=1e30)]
_NotNegative = Annotated[float, _NoBool, Field(ge=0, le=1e30)]
_Every = Annotated[int, _NoBool, Field(ge=1, le=2**31)]
_Accumulated = Annotated[int, _NoBool, Field(ge=2, le=2**31)]

_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
_COMMON = {
    "weight_decay": _NotNegative | None,
    **dict.fromkeys(_CLIPS, _Positive | None),
    "use_ema": bool,
    "ema_momentum": _Fraction,
    "ema_overwrite_frequency": _Every | None,
    "loss_scale_factor": _Positive | None,
    "gradient_accumulation_steps": _Accumulated | None,
}
_ADAM = {"beta_1": _Decay, "beta_2": _Decay, "epsilon": _Positive}

ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "sgd": {"momentum": _Fraction, "nesterov": bool, **_COMMON},
    "adam": {**_ADAM, "amsgrad": bool, **_COMMON},
    "adamw": {**_ADAM, "amsgrad": bool, **_COMMON},
    "rmsprop": {"rho": _Decay, "momentum": _Fraction, "epsilon": _Positive, "centered": bool, **_COMMON},
    "adagrad": {"initial_accumulator_value": _NotNegative, "epsilon": _Positive, **_COMMON},
    "nadam": {**_ADAM, **_COMMON},
}
"""Optimizer -> argument -> its type, except for `learning_rate`, which all have. A test compares the
names with those of keras.optimizers."""


def check_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an optimizer, with the types that Keras expects (YAML reads `1e-7` as text).

    Raises ValueError for an argument that the optimizer does not have, or that cannot have this value.
    """
    known = ARGUMENTS[name]
    checked = {key: _checked(name, key, value) for key, value in arguments.items() if key in known}
    for key in arguments:
        if key not in known:
            near = difflib.get_close_matches(str(key), ["learning_rate", *known], n=1)
            raise ValueError(
                f"{name} has no argument {key!r}"
                + (f"; did you mean {near[0]!r}? " if near else ". ")
                + f"Its arguments: learning_rate, {', '.join(known)}"
            )
    clips = [key for key in _CLIPS if checked.get(key) is not None]
    if len(clips) > 1:
        raise ValueError(f"only one of {', '.join(_CLIPS)} can be set, received {' and '.join(clips)}")
    return checked


def _checked(name: str, key: str, value: Any) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(ARGUMENTS[name][key], config=ConfigDict(allow_inf_nan=False))
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{key}: {plain(error.errors()[0]['msg'])}, received {quoted(value)}") from None
