"""How many examples a property test tries."""

import hypothesis


def examples(most: int) -> int:
    """So many in the check, which sets TOPCOINS_TEST_SLOW=1; elsewhere a tenth."""
    return max(1, most * hypothesis.settings().max_examples // 100)
