"""What of NumPy torch files may hold: numbers and arrays, which are values, not code."""

import numpy as np

# For torch.serialization.safe_globals. Files of 2019 use the old name of the module.
NUMPY_VALUES = [
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "u1", "i1", "i4", "i8", "?")},
    *(
        (function, f"numpy.{module}.multiarray.{function.__name__}")
        for function in (np._core.multiarray._reconstruct, np._core.multiarray.scalar)
        for module in ("core", "_core")
    ),
]
