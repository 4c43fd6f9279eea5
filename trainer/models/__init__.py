"""The networks, by name. A family is a file; nothing here imports TensorFlow until a network is built."""

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from trainer.config import RunConfig
from trainer.config.applications import APPLICATIONS, PREFIX
from trainer.config.explain import plain, quoted
from trainer.errors import ConfigError
from trainer.models.whitening_limit import ZCA
from trainer.runs.run_document import RunDocument

NETWORKS = {
    "lab-cnn": "trainer.models.networks.lab:build_cnn",
    "food-cnn": "trainer.models.networks.food:food_cnn",
    "dcnn": "trainer.models.networks.dcnn:dcnn",
    "small-resnet": "trainer.models.networks.dcnn:small_resnet",
    "resnet50": "trainer.models.networks.resnet:resnet50",
    "resnet101": "trainer.models.networks.resnet:resnet101",
    "resnet152": "trainer.models.networks.resnet:resnet152",
    "resnet152-scale": "trainer.models.networks.resnet:resnet152_scale",
}
_OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def check_name(name: str) -> None:
    """Raises ConfigError for an unknown name. A network of the user's own is imported later."""
    if name in NETWORKS or name in APPLICATIONS or (_OWN.fullmatch(name) and not name.startswith(PREFIX)):
        return
    near = difflib.get_close_matches(name, [*NETWORKS, *APPLICATIONS], n=1)
    known = (
        f"Known: {', '.join(NETWORKS)}, {PREFIX}NAME for one of keras.applications, package.module:function"
    )
    raise ConfigError(
        f"model.name: there is no network {name!r}", f"Did you mean {near[0]!r}?" if near else known
    )


def build(
    name: str, image_shape: tuple[int, int, int], classes: int, options: Mapping[str, Any] | None = None
) -> Any:
    """A `keras.Model` from images (n, H, W, C) float32 to class probabilities (n, classes) float32.

    Raises ConfigError for an unknown name or option, for a value that the option cannot have, and for a
    function of the user's own that returns something else.
    """
    builder = builder_of(name)
    _check_options(name, builder, options or {})
    return builder(image_shape, classes, **(options or {}))


def is_own(name: str) -> bool:
    """Whether the network is a function of the user's own."""
    return name not in NETWORKS and name not in APPLICATIONS


def builder_of(name: str) -> Callable[..., Any]:
    """What builds the network from (image_shape, classes, **options). A module of the user's own is imported.

    Raises ConfigError for an unknown name.
    """
    check_name(name)
    if name in NETWORKS:
        return _function(NETWORKS[name])
    if name in APPLICATIONS:
        return partial(_function("trainer.models.networks.keras_applications:application"), name)
    builder: Callable[..., Any] = _function("trainer.models.networks.user_network:user_network")(name)
    return builder


def _function(path: str) -> Callable[..., Any]:
    module, _, function = path.partition(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return loaded


def _check_options(name: str, builder: Callable[..., Any], options: Mapping[str, Any]) -> None:
    parameters = _signature(builder).parameters
    known = {name: p.annotation for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    for option, value in options.items():
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known) or 'none'}"
            if option in parameters:
                hint = "It has such a parameter: make it keyword-only, as in (image_shape, classes, *, "
                hint += f"{option}=…)"
            raise ConfigError(f"model.options: {name} has no option {quoted(option)}", hint)
        if known[option] is inspect.Parameter.empty:
            continue
        try:
            TypeAdapter(known[option]).validate_python(value, strict=True)
        except PydanticUserError:  # an annotation that is not for values of a configuration
            continue
        except ValidationError as error:
            message = plain(error.errors()[0]["msg"])
            raise ConfigError(f"model.options.{option}: {message}, received {quoted(value)}") from None


def _signature(builder: Callable[..., Any]) -> inspect.Signature:
    """The signature of a builder, with the types of its annotations where these can be resolved."""
    try:
        return inspect.signature(builder, eval_str=True)
    except Exception:  # an annotation is any expression, of names that may be for type checkers alone
        return inspect.signature(builder)


def network_for(config: RunConfig, image_shape: tuple[int, int, int], classes: int) -> Any:
    """The network that a configuration names, with fresh weights. Raises ConfigError as `build` does."""
    model = build(config.model.name, image_shape, classes, config.model.options)
    if config.data.standardize != ZCA:
        return model
    return _function("trainer.models.whitening:whitened")(model)


def build_network(run: RunDocument) -> Any:
    """The network of a run, with fresh weights, in float32 whatever policy the process has. Other random
    numbers of its function are as in the training."""
    import keras

    keras.utils.clear_session()  # layers are named the same in every process
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(run.config.train.seed)
    return network_for(run.config, run.image_shape, len(run.classes))
