"""A proposed command writes into a folder that nothing is in, in each kind of store."""

from trainer.cli.pages.next_commands import after_evaluate, unused
from trainer.storage import open_store


def test_a_folder_that_is_used_is_not_proposed(store_url: str):
    data = f"{store_url}/cars"
    assert unused(f"{data}-run") == f"{data}-run"
    open_store(f"{data}-run").put("run.json", b"")
    open_store(f"{data}-run-2").put("x", b"")
    assert unused(f"{data}-run") == f"{data}-run-3"
    open_store(f"{data}-run-predictions").put("plan.json", b"")
    line = after_evaluate(f"{data}-run", data, "validation")
    assert line.endswith(f"--split validation --output {data}-run-predictions-2")
