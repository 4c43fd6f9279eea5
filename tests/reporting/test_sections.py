"""The parts of a report that are calculated: calibration, the headline, costs."""

from dataclasses import replace

import pytest

from tests.synthetic_pages import evaluation_of, known_of, report_of
from trainer.config.run_sections import PriceSection
from trainer.reporting.evaluation_section import MIN_ROWS_OF_A_BIN, evaluation_section, merged
from trainer.reporting.headline import cost, headline
from trainer.reporting.intervals import interval_95
from trainer.runs.documents.evaluation_values import CalibrationBin
from trainer.runs.timing import EpochTiming

pytestmark = pytest.mark.fast


def bins(*rows: int) -> list[CalibrationBin]:
    return [{"rows": n, "probability": 0.1 * i, "accuracy": 0.5} for i, n in enumerate(rows, 1)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((100, 200), [100, 200]),
        ((1, 2, 40, 50), [43, 50]),
        ((40, 3, 2), [45]),
        ((5, 25, 3, 40, 1), [30, 44]),
        ((3, 4), []),
        ((), []),
    ],
)
def test_bins_of_the_calibration_with_few_images_are_merged(
    rows: tuple[int, ...], expected: list[int]
) -> None:
    found = merged(bins(*rows))
    assert [one["rows"] for one in found] == expected
    assert all(one["rows"] >= MIN_ROWS_OF_A_BIN for one in found)


def test_a_merged_bin_has_the_mean_of_its_images() -> None:
    (found,) = merged(
        [
            {"rows": 10, "probability": 0.2, "accuracy": 0.0},
            {"rows": 30, "probability": 0.6, "accuracy": 1.0},
        ]
    )
    assert found["rows"] == 40
    assert (found["probability"], found["accuracy"]) == pytest.approx((0.5, 0.75))


def test_an_evaluation_of_few_images_has_no_diagram() -> None:
    document = evaluation_of(10)
    document["calibration"] = [*bins(3, 4), None]
    section = evaluation_section(document)
    assert (section.calibration, section.bins) == (None, [])
    assert evaluation_section(evaluation_of(10)).calibration


def test_the_classes_with_the_lowest_f1_are_first_and_those_without_images_last() -> None:
    document = evaluation_of(10)
    document["classes"][3] = {"class": "none", "rows": 0, "precision": None, "recall": None, "f1": 0.0}
    rows = evaluation_section(document).classes
    f1 = [float(row[4]) for row in rows[:-1]]
    assert f1 == sorted(f1)
    assert rows[-1] == ("none", "0", "-", "-", "0.000")


@pytest.mark.parametrize(("right", "rows"), [(0, 10), (10, 10), (5, 10), (812, 1000)])
def test_an_interval_is_around_its_fraction(right: int, rows: int) -> None:
    low, high = interval_95(right, rows)
    assert 0 <= low <= right / rows <= high <= 1
    assert high - low < 2 / rows**0.5


def test_the_headline_says_how_good_of_what_how_long_and_at_what_cost() -> None:
    known = known_of(10)
    tiles = {tile.name: tile for tile in headline(known)}
    assert list(tiles) == ["Test accuracy", "Top 5", "Classes", "Images", "Network", "Took", "Cost"]
    assert tiles["Test accuracy"].remark.startswith("95 % interval ")
    assert tiles["Took"].value == "3 h 0 min"
    assert "2 restarts" in tiles["Took"].remark
    assert tiles["Took"].remark.endswith("; 48 min without pauses")
    amount = 2.5 * sum(4 * row.seconds for row in known.timing) / 3600
    assert tiles["Cost"].value == f"{amount:.2f} EUR"
    assert tiles["Cost"].remark == "3.2 GPU hours; 26 core hours; by run.price"


def test_before_an_evaluation_it_has_what_the_published_weights_reached() -> None:
    known = replace(known_of(10), evaluations=[], ended=None)
    tiles = {tile.name: tile for tile in headline(known)}
    assert next(iter(tiles)) == "Validation accuracy"
    assert (tiles["Validation accuracy"].remark, tiles["Trained"].value) == ("epoch 22", "unfinished")
    assert headline(replace(known, finished=None, started=None, timing=()))[0].name == "Classes"


def test_costs_are_of_gpus_and_cores_and_only_with_prices() -> None:
    row = EpochTiming(0, 1, 2, 100, 3600.0, 0.0, 0.0, 0.0, 0.0, cores=8.0)
    assert [(tile.name, tile.value) for tile in cost([row], None)] == [("Used", "8 core hours")]
    (tile,) = cost([row], PriceSection(core_hour=0.05))
    assert (tile.name, tile.value) == ("Cost", "0.40 USD")
    (tile,) = cost([replace(row, gpus=2)], PriceSection(gpu_hour=3.0, core_hour=0.05))
    assert tile.value == "6.40 USD"
    assert cost([replace(row, cores=0.0)], None) == [], "timing.csv of an older version"


def test_a_report_is_the_same_bytes_each_time() -> None:
    first = report_of(20)
    assert first == report_of(20)
    assert len(first) < 2_000_000
