"""From pairs to persons, and from one partition to the next (docs/spec/persons.md).

`agglomerate` forms persons; `recluster` does so again where something changed; `succession` says who is who afterwards.
"""

from linkage.cluster.components import components
from linkage.cluster.events import Event, EventKind, Succession, succession
from linkage.cluster.forest import Clusters, Verdicts, agglomerate, cluster
from linkage.cluster.incremental import recluster

__all__ = [
    "Clusters",
    "Event",
    "EventKind",
    "Succession",
    "Verdicts",
    "agglomerate",
    "cluster",
    "components",
    "recluster",
    "succession",
]
