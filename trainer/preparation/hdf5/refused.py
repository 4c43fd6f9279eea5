"""Why a file cannot be read as it is."""


class Refused(Exception):
    """What is wrong with the file, and the remedy; `convertible` where `trainer prepare` can read it."""

    def __init__(self, problem: str, remedy: str = "", *, convertible: bool = False) -> None:
        super().__init__(problem)
        self.remedy, self.convertible = remedy, convertible
