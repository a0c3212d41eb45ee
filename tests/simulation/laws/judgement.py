"""What a law has to say about a log."""


class Judgement(list[str]):
    """The breaches, each in a line, and how much was looked at: a law that never applied has not held.

    Attributes:
        judged: of whatever the law speaks of, so many were applicable.
    """

    def __init__(self) -> None:
        super().__init__()
        self.judged = 0

    def demand(self, holds: bool, breach: str) -> None:
        """Judge one thing. (Where words cost time, count and append instead.)"""
        self.judged += 1
        if not holds:
            self.append(breach)
