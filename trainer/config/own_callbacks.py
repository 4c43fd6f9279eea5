"""Callbacks of the user's own, by name."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from trainer.config.types import Section, as_number

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


_Scalar = Annotated[bool | int | float | str | None, BeforeValidator(as_number)]


class CallbackSection(Section):
    """A Keras callback, one of Keras's or of your own; see docs/python.md."""

    name: _Name = Field(description="`package.module:Class`, a class below keras.callbacks.Callback")
    options: dict[str, _Scalar | list[_Scalar] | dict[str, _Scalar]] = Field(
        {},
        description="arguments of its constructor: values, lists, mappings, or a function as "
        "`{function: package.module:function}`",
    )


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


OwnCallback = Annotated[CallbackSection, BeforeValidator(_from_name)]
"""Also written as the name alone."""
