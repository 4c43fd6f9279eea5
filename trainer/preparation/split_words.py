"""The words by which people call splits, in the names of folders, files and datasets."""

import re

SPLIT_OF_WORD = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "validate", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}


def words_in(name: str) -> list[str]:
    """The words and numbers of a name, in lower case: `trainImages` -> train, images."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return re.findall(r"[a-z]+|[0-9]+", spaced)
