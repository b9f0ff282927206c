"""SciPy's functions for the stand-in's arrays."""
