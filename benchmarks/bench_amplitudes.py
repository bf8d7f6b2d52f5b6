"""Speed of e+e- -> mu mu X (amplitude and phase space) against explicit Dirac traces in numpy.

Both run on one thread in this process; ratios, not times, are what to quote. Target: at least 1000 against
traces of one event at a time; vectorised ones are shown beside them. The traces
are those of the tests.
"""

from __future__ import annotations

import numba
import numpy as np

from belle2dark.constants import M_MUON
from belle2dark.simulation.amplitudes.couplings import LeptonCoupling
from belle2dark.simulation.amplitudes.lepton_pair_x import matrix_element_squared, process
from belle2dark.simulation.beams import belle2_beams, to_cms
from belle2dark.simulation.lepton_pair_x import generate_lepton_pair_x
from benchmarks.timing import best
from tests.dirac import trace_squared

N, PEER = 4096, 256


def main() -> None:
    """Print nanoseconds per event and the ratios."""
    numba.set_num_threads(1)
    beams, mass = belle2_beams(spread=False), 4.0
    sample = generate_lepton_pair_x(N, 1, beams, mass=mass, coupling=LeptonCoupling(vector=0.1), isr=False)
    half = 0.5 * beams.sqrt_s
    momenta = np.stack(
        [np.tile([half, 0, 0, half], (N, 1)), np.tile([half, 0, 0, -half], (N, 1))]
        + [to_cms(sample.momenta_lab[name], beams) for name in ("mu-", "mu+", "x")],
        axis=1,
    )
    peer = best(lambda: trace_squared(momenta[:PEER], M_MUON, 0.1, 0.0, mass), 5) / PEER
    single = best(lambda: trace_squared(momenta[:1], M_MUON, 0.1, 0.0, mass), 5)
    print(f"numpy traces: {single * 1e6:.0f} us/event one at a time, {peer * 1e6:.0f} us/event vectorised over {PEER}")
    for name, coupling in (("vector", LeptonCoupling(vector=0.1)), ("scalar", LeptonCoupling(scalar=0.1))):
        proc = process(mass, coupling)
        bare = best(lambda proc=proc: matrix_element_squared(proc, momenta), 25) / N
        request = {"mass": mass, "coupling": coupling}
        tree = best(lambda request=request: generate_lepton_pair_x(N, 1, beams, isr=False, **request)) / N
        full = best(lambda request=request: generate_lepton_pair_x(N, 1, beams, **request)) / N
        print(f"{name}: amplitude {bare * 1e9:.0f} ns, event {tree * 1e9:.0f} ns, with photons {full * 1e9:.0f} ns; "
              f"traces / event {single / tree:.0f} (target 1000), vectorised traces / event {peer / tree:.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
