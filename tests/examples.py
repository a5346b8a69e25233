"""How many examples a property test tries."""

import hypothesis


def examples(most: int) -> int:
    """So many with the usual profile; with another one, such as `few`, as many less as that has."""
    return max(1, most * hypothesis.settings().max_examples // 100)
