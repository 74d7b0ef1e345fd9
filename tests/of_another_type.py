"""Values of other types than the public functions say: a line each; prints what is wrong."""

import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

import clbench
from clbench.schema.errors import ClbenchError

X, Y = np.zeros((6, 3, 4, 4), np.uint8), np.arange(6)
PAIR = TensorDataset(torch.tensor(X), torch.tensor(Y))

DATA = {
    "a table": ({"x": X, "y": Y}, "got {'x': array"),
    "three": ((X, Y, Y), r"got \(array"),
    "images alone": (X, r"got array"),
    "None": (None, "got None"),
    "bytes": (b"digits", "got b'digits'"),
    "a number": (5, "got 5"),
    "a loader": (DataLoader(PAIR), "got <torch.utils.data"),
    "a data set of torch": (PAIR, "got <torch.utils.data"),
}
NOT_WHOLE = "must be (a|'auto' or a) whole number"
NO_PATH = "must be text or a path, got 5"

EVALUATE = [
    ({"seed": 1.5}, f"--seed {NOT_WHOLE} from 0 to 4294967295, got 1.5"),
    ({"seed": "x"}, f"--seed {NOT_WHOLE}"),
    ({"seed": 2**70}, f"--seed {NOT_WHOLE}"),
    ({"n_examples": 16.0}, f"--n-examples {NOT_WHOLE} from 1 up, got 16.0"),
    ({"n_examples": "many"}, f"--n-examples {NOT_WHOLE}"),
    ({"batch_size": 2**70}, f"--batch-size {NOT_WHOLE}"),
    ({"batch_size": 4.0}, f"--batch-size {NOT_WHOLE}"),
    ({"batch_size": [4]}, f"--batch-size {NOT_WHOLE}"),
    ({"weights": 5}, f"weights {NO_PATH}"),
    ({"data_dir": 5}, f"data_dir {NO_PATH}"),
    ({"out": 5}, f"out {NO_PATH}"),
    ({"train_data": [5], "linear_probes": True}, f"train_data {NO_PATH}"),
    ({"model": 5}, "model must be a name, a path or an nn.Module, got 5"),
    ({"model": None}, "model must be a name"),
]
PROBE = [
    ({"seed": 1.5}, f"--seed {NOT_WHOLE}"),
    ({"n_examples": 16.0}, f"--n-examples {NOT_WHOLE}"),
    ({"attack_steps": 1.5}, f"--attack-steps {NOT_WHOLE}"),
    ({"attack_steps": "x"}, f"--attack-steps {NOT_WHOLE}"),
    ({"out": 5}, f"out {NO_PATH}"),
    ({"train_data": 5}, f"train_data {NO_PATH}"),
]
HEAD = [
    ({"seeds": 1.5}, "--seeds must be a whole number from 1 to 1000, got 1.5"),
    ({"seeds": "x"}, "--seeds must be a whole number"),
    ({"encoder": 5}, "encoder must be a name or a path, .*, got 5"),
    ({"out": 5}, f"out {NO_PATH}"),
    ({"data": [5]}, f"data {NO_PATH}"),
    ({"weights": 5}, f"weights {NO_PATH}"),
    ({"data_dir": 5}, f"data_dir {NO_PATH}"),
    ({"method": 5}, "method must be slf, alf, aff, got 5"),
]
TRAIN = [
    ({"seed": 1.5}, f"--seed {NOT_WHOLE}"),
    ({"seed": "x"}, f"--seed {NOT_WHOLE}"),
    ({"out": 5}, f"out {NO_PATH}"),
    ({"data": [5]}, f"data {NO_PATH}"),
]
BUNDLE = [
    ({"weights_url": 5}, "weights_url must read like https://HOST/PATH, got 5"),
    ({"weights": 5}, f"weights {NO_PATH}"),
    ({"out": 5}, f"out {NO_PATH}"),
    ({"record": 5}, f"record {NO_PATH}"),
]
COUNTS = [16.0, 1.5, "many", [16]]


def right(message, function, *given, **options):
    """Return whether a call ends in one line that begins or goes on like ``message``."""
    try:
        function(*given, **options)
    except ClbenchError as error:
        if re.search(message, str(error)) and "\n" not in str(error):
            return True
        sys.stdout.write(f"{given} {options}: {error}"[:300] + "\n")
    except Exception as error:
        sys.stdout.write(f"{given} {options}: {type(error).__name__}: {error}"[:300] + "\n")
    else:
        sys.stdout.write(f"{given} {options}: taken"[:300] + "\n")
    return False


def main(folder):
    wanted = "data must be the name of a data set, a file, an ImageSet, or images .*"
    found = [right(wanted + message, clbench.load_data, data) for data, message in DATA.values()]
    quick = {"model": "simclr_at", "attack": "pgd,steps=1", "n_examples": 8, "probe": False}
    found += [right(message, clbench.evaluate, **quick | given) for given, message in EVALUATE]
    found += [
        right(message, clbench.probe, ["simclr_at"], **{"n_examples": 8} | given)
        for given, message in PROBE
    ]
    found += [
        right(message, clbench.train, "supervised_st", **{"out": folder / "run"} | given)
        for given, message in TRAIN
    ]
    quick = {"encoder": "simclr_at", "method": "slf", "dataset": "digits", "out": folder / "head"}
    found += [right(message, clbench.fit_head, **quick | given) for given, message in HEAD]
    found += [
        right(message, clbench.bundle, **{"record": "nowhere.json"} | given)
        for given, message in BUNDLE
    ]
    said = "n_examples must be from 1 to 360, all that digits has, got"
    found += [right(said, clbench.load_data, "digits", n_examples=n) for n in COUNTS]
    sys.stdout.write(f"{sum(found)} right\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        main(Path(place))
