"""How good a linkage is: by the truth, by labels, or estimated without either (docs/how-to/evaluate.md).

`evaluate` judges what `match` found; `linkage.evaluate.html.page` makes a page of it.
"""

from linkage.evaluate.judge import Outcome, evaluate
from linkage.evaluate.model import Evaluation, Rates
from linkage.evaluate.quality import Quality, by_pair_of_sources, cluster_sizes, conflicts, of_pairs, pairwise

__all__ = [
    "Evaluation",
    "Outcome",
    "Quality",
    "Rates",
    "by_pair_of_sources",
    "cluster_sizes",
    "conflicts",
    "evaluate",
    "of_pairs",
    "pairwise",
]
