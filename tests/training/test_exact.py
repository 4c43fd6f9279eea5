"""Exact runs: the same bits on any number of ranks and replicas, whoever dies on the way."""

from tests.run_processes import Runs


def test_smoke(runs: Runs) -> None:
    model = {"name": "lab-cnn", "options": {"n_filters": 4, "n_dense_layers": 1, "use_dropout": True}, "batch_norm": "grouped"}
    train = {"exact": True, "lanes": 6, "micro_batch": 2, "optimizer": {"name": "adam"}}
    folder = runs.finish(runs.config("one", model=model, train=train), 1)
    other = runs.finish(runs.config("two", model=model, train=train), 2)
    third = runs.finish(runs.config("three", model=model, train=train), 3)
    print(open(folder/"log").read()[-1500:])
    print(open(folder/"run/metrics.csv").read())
    print(open(other/"run/metrics.csv").read())
    print(open(folder/"run/finished.json").read())
    assert runs.digests(folder) == runs.digests(other)== runs.digests(third)
    assert open(folder/"run/finished.json").read() == open(third/"run/finished.json").read()
