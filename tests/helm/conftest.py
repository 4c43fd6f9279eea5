import pytest

from .charts import SCENARIOS, Rendered, scenario


@pytest.fixture(
    params=SCENARIOS, ids=lambda path: f"{path.parents[1].name}-{path.name.removesuffix('-values.yaml')}"
)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """Each of the charts' scenarios in turn."""
    return scenario(request.param)
