"""Run all cases and print a table: ``python -m tests.bad_inputs [PATTERN]``."""

from __future__ import annotations

import re
import sys
from collections import Counter

from tests.bad_inputs import CASES, run
from tests.bad_inputs.case import CLASSES


def main() -> int:
    pattern = re.compile(sys.argv[1] if len(sys.argv) > 1 else '')
    chosen = [case for case in CASES if pattern.search(str(case))]
    counts: dict[str, Counter] = {}
    for case in chosen:
        outcome = run(case)
        found = outcome.classify(case)
        counts.setdefault(case.kind, Counter())[found] += 1
        if found in CLASSES[2:]:
            print(f'{case} (exit code {outcome.code}): expected {case.refused or case.says!r}')
            print(f'    {(outcome.message or outcome.output)[-600:]}', flush=True)
    print('\n| kind of input | ' + ' | '.join(CLASSES) + ' |\n|---|' + '---|' * len(CLASSES))
    for kind, found in (*counts.items(), (f'all {len(chosen)}', sum(counts.values(), Counter()))):
        print(f'| {kind} | ' + ' | '.join(str(found[name]) for name in CLASSES) + ' |')
    return int(any(found[name] for found in counts.values() for name in CLASSES[2:]))


if __name__ == '__main__':
    sys.exit(main())
