"""The part of CuPy's second package that tinyar needs, for the stand-in."""
