"""Tree-level helicity amplitudes: spinors, and one module per process. Kernels on plain tuples of complex numbers."""
