"""`trainer model`: a network's layers, with the figures that the source documents print."""

import json

import pytest
from typer.testing import CliRunner

from scripts import generated
from tests.commands import refused
from trainer.cli.app import app
from trainer.models.layer_table import layer_table

LAB_1 = ("lab-cnn", "--classes", "10", "--option", "n_filters=16", "--option", "n_conv_layers=2")


def test_resnet50_has_what_the_lab_counted() -> None:
    table = layer_table("keras:ResNet50", None, 3, 1000, {})
    assert table.image_shape == (224, 224, 3)
    assert (table.convolutions, table.parameters, table.trainable) == (53, 25_636_712, 25_583_592)


def test_the_lab_s_first_network_is_listed_as_keras_lists_it() -> None:
    done = CliRunner().invoke(app, ["model", *LAB_1])
    assert done.exit_code == 0, done.output
    assert "conv2d_1               Conv2D              16 x 16 x 32       4,640" in done.output
    assert "parameters  25,770, 25,674 of them trainable" in done.output
    listed = json.loads(CliRunner().invoke(app, ["model", *LAB_1, "--json"]).output)
    assert listed["layers"][-1] | {"name": ""} == {
        "name": "",
        "type": "Dense",
        "output": [10],
        "parameters": 20_490,
    }
    assert listed["convolutions"] == 2


def test_the_page_of_networks_is_up_to_date() -> None:
    assert generated.NETWORKS.read_text() == generated.FILES[generated.NETWORKS](), "run scripts/generate"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["lab-cnm"], "Did you mean 'lab-cnn'?"),
        (["lab-cnn", "--option", "n_filter=16"], "Did you mean 'n_filters'?"),
        (["lab-cnn", "--option", "n_filters"], "--option: expected NAME=VALUE, received 'n_filters'"),
        (["lab-cnn", "--image-size", "0"], "expected a side from 1 to 8192 pixels"),
        (["keras:VGG16", "--image-size", "8"], "does not take images of (8, 8, 3)"),
    ],
)
def test_what_cannot_be_built_is_refused(given: list[str], says: str) -> None:
    assert says in refused("model", *given)
