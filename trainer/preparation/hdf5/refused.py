"""Why a file cannot be read as it is."""


class Refused(Exception):
    """What is wrong with the file, and the remedy."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy
