"""Theory: models (couplings -> widths, branching fractions, lifetimes) and processes (cross-sections).

Pure functions, vectorised, no randomness, no knowledge of detectors. Masses in GeV, cross-sections in fb, lengths in cm.
"""
