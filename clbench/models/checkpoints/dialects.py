"""All dialects, by name."""

from clbench.models.checkpoints.dialect import Dialect
from clbench.models.checkpoints.pretraining_dialects import LIBRARIES, PRETRAINING
from clbench.models.checkpoints.robust_dialects import ROBUST

DIALECTS: dict[str, Dialect] = {row.name: row for row in (*ROBUST, *PRETRAINING, *LIBRARIES)}
"""How projects write their checkpoints; a file should be of one."""
