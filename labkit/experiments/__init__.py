"""Experiments: what a restore does, what a write costs, who gets how much of a shared host, how a guest's heart beats.

    from labkit.experiments import verify_restore, witness, Heartbeat, Divergence

Whatever an experiment creates or starts it removes or ends, also when it fails.
Knows: the lab as a student uses it. Must not know: libvirt's calls, widgets, how results are drawn.
"""

from labkit.experiments.container import Container
from labkit.experiments.heartbeat import Beat, Heartbeat
from labkit.experiments.limits import measure_limit
from labkit.experiments.measure import is_slower, measure_copy_rate, measure_cost, measure_cost_inside, measure_formats
from labkit.experiments.sampling import Divergence
from labkit.experiments.sharing import (
    REQUEST,
    is_writing,
    look_inside,
    measure_fsync,
    measure_load,
    measure_sharing,
    measure_writes,
    read_devices,
    saturate,
    start_writing,
    stop_writing,
)
from labkit.experiments.verify import RestoreCheck, verify_restore
from labkit.experiments.witness import Witness, hash_file, hash_states, witness

__all__ = [
    "REQUEST",
    "Beat",
    "Container",
    "Divergence",
    "Heartbeat",
    "RestoreCheck",
    "Witness",
    "hash_file",
    "hash_states",
    "is_slower",
    "is_writing",
    "look_inside",
    "measure_copy_rate",
    "measure_cost",
    "measure_cost_inside",
    "measure_formats",
    "measure_fsync",
    "measure_limit",
    "measure_load",
    "measure_sharing",
    "measure_writes",
    "read_devices",
    "saturate",
    "start_writing",
    "stop_writing",
    "verify_restore",
    "witness",
]
