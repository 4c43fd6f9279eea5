"""A network of one's own trains to its end, or is refused by name before its run has a folder."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from tests.models import own
from tests.training import in_process
from trainer.config import load
from trainer.errors import ConfigError, RunError
from trainer.inference.network import network_from_run
from trainer.inference.predictor import Predictor
from trainer.models import build_network
from trainer.models.weights_file import weights_file
from trainer.runs import layout
from trainer.runs.run_document import read_run
from trainer.storage import open_store
from trainer.training.run_plan import make_plan
from trainer.training.setup.build_network import build, setup_tensorflow

OWN = own.__name__
TRAIN = {"batch_size": 400, "lanes": 4}


@pytest.fixture
def built(runs: Any) -> Callable[..., keras.Model]:
    """Builds the network of a function as a run does, before it takes its folder."""

    def make(name: str, ranks: int = 1, train: Any = TRAIN, **options: Any) -> keras.Model:
        config = load(runs.config(name, model={"name": f"{OWN}:{name}", "options": options}, train=train))
        setup_tensorflow(config)
        model, _ = build(make_plan(config, ranks))
        return model

    return make


@pytest.mark.parametrize(
    "name", ["right", "of_many_parts", "compiled", "of_unknown_size", "of_drawn_constants"]
)
def test_what_keras_can_save_goes_the_whole_way(runs: Any, name: str, capsys: Any) -> None:
    config = runs.config(name, model={"name": f"{OWN}:{name}", "options": {}}, train=TRAIN)
    in_process.train(config)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    predictor = Predictor(network_from_run(load(config).run.url, "last"), batch_size=3)
    exported = keras.saving.load_model(config.parent / "run" / layout.KERAS_MODEL)
    expected = exported.predict_on_batch(pixels.astype(np.float32) / 255)
    np.testing.assert_allclose(predictor.probabilities(pixels), expected, atol=1e-4)
    assert "building" not in capsys.readouterr().out
    store = open_store(load(config).run.url)
    other = build_network(read_run(store))
    other.set_weights([weight * 1.1 + 0.02 for weight in predictor._model.get_weights()])
    store.put(layout.weights("last"), weights_file(other))
    expected = other.predict_on_batch(pixels.astype(np.float32) / 255)
    predictor = Predictor(network_from_run(store.url, "last"), batch_size=3)
    np.testing.assert_allclose(predictor.probabilities(pixels), expected, atol=1e-4)


def test_weights_that_do_not_fit_the_network_are_one_line(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = runs.config("changed", model={"name": f"{OWN}:right", "options": {}}, train=TRAIN)
    in_process.train(config)
    store = open_store(load(config).run.url)
    monkeypatch.setattr(own, "right", own.of_many_parts)
    network_from_run(store.url, "last").build()  # of model.keras, without that code
    model = store.get(layout.KERAS_MODEL)
    store.put(layout.KERAS_MODEL, b"damaged")
    with pytest.raises(RunError, match=r"model\.keras cannot be loaded"):
        network_from_run(store.url, "last").build()
    store.delete(layout.KERAS_MODEL)  # as in a run that has not finished
    says = r"weights/last\.weights\.h5 does not hold weights of .*own:right: .*use the code of the run"
    with pytest.raises(RunError, match=says):
        network_from_run(store.url, "last").build()
    for content in (None, model):
        if content:
            store.put(layout.KERAS_MODEL, content)
        store.put(layout.weights("last"), b"damaged")
        with pytest.raises(RunError, match=r"does not hold weights of .*start the run again;"):
            network_from_run(store.url, "last").build()


@pytest.mark.parametrize("name", ["in_narrow_layers", "cast_at_its_end"])
def test_layers_may_be_narrow(built: Any, name: str) -> None:
    built(name)


def test_layers_that_a_module_makes_as_it_is_imported_have_weights(built: Any) -> None:
    assert np.ptp(built("made_at_import").weights[0].numpy()) > 0


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("raises", {}, r"own:raises raises KeyError: 'no such key' \(.*tests/models/own\.py:\d+\)"),
        ("raises_in_keras", {}, r"own:raises_in_keras raises ValueError: .*\(.*own\.py:\d+\)"),
        ("leaves", {}, r"own:leaves raises SystemExit: 0 \(.*own\.py:\d+\)"),
        ("nothing", {}, "own:nothing to return a keras.Model, received NoneType"),
        ("unbuilt", {}, r"own:unbuilt returns .*Start it with keras\.Input"),
        ("takes_one", {}, r"received takes_one\(image_shape.*too many positional arguments \(.*own\.py:\d+"),
        ("positional", {}, "missing a required .*'width'"),
        ("needs_width", {}, "missing a required .*'width'"),
        ("without_star", {"width": 2}, r"has no option 'width'\. .*make it keyword-only"),
        ("subclassed", {}, r"own:subclassed has the model .* \(Subclass\)"),
        ("two_inputs", {}, "own:two_inputs to return .* one input"),
        ("with_named_output", {}, "to return one tensor, received a dict"),
        ("of_integers", {}, "an input of uint8"),
        ("one_sigmoid", {}, "two classes are two outputs"),
        ("odd_model_name", {}, "own:odd_model_name has the model 'my net:1' .* graph"),
        ("odd_layer_name", {}, "own:odd_layer_name has the layer 'Größe' .* graph"),
        ("another_each_time", {}, "own:another_each_time returns a different network at each call"),
        ("cached", {}, "own:cached returns a network with weights of a previous one"),
        ("layer_made_at_import", {}, r"with weights of a previous one \(.*Make new layers"),
        ("in_lambda", {}, r"own:in_lambda cannot be exported: the layer 'lambda' \(Lambda\)"),
        ("function_in_lambda", {}, r"cannot be exported: the layer 'lambda' \(Lambda\)"),
        ("own_activation", {}, r"cannot be exported: the layer 'doubled' \(Conv2D\)"),
        ("registered_activation", {}, r"cannot be exported: the layer 'doubled' \(Conv2D\)"),
        ("nested_lambda", {}, r"cannot be exported: the layer 'deep' \(Lambda\)"),
        ("logits", {}, "own:logits to return probabilities, .* End it in .*softmax"),
        ("sigmoids", {}, r"rows that add up to .* End it in .*softmax"),
        ("not_finite", {}, "own:not_finite returns values that are not finite"),
        ("spectral", {}, r"the layer 'spectral_normalization' \(SpectralNormalization\).* trained weights"),
        ("without_gradients", {}, "own:without_gradients has no gradients"),
        ("without_weights", {}, "own:without_weights has no weights that are trained"),
    ],
)
def test_what_cannot_be_trained_or_exported_is_refused_by_name(
    built: Any, name: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        built(name, **options)


def test_a_refused_run_leaves_its_folder_as_it_was(runs: Any) -> None:
    config = runs.config("run", model={"name": f"{OWN}:in_lambda", "options": {}}, train=TRAIN)
    with pytest.raises(ConfigError) as error:
        in_process.train(config)
    assert error.value.exit_code == 64
    assert not list(open_store(load(config).run.url).list())


def test_a_synchronized_batch_norm_is_refused_on_several_ranks(built: Any) -> None:
    built("synchronized")
    with pytest.raises(ConfigError, match=r"layer 'batch_normalization' with synchronized=True"):
        built("synchronized", ranks=2)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_in_mixed_precision_the_same_networks_are_right(built: Any, precision: str) -> None:
    train = TRAIN | {"precision": precision}
    try:
        built("of_many_parts", train=train)
        with pytest.raises(ConfigError, match="to return probabilities"):
            built("logits", train=train)
    finally:
        keras.config.set_dtype_policy("float32")
