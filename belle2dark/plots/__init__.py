"""Bokeh figures and HTML tables: each function takes a result and returns a figure (or text), nothing is drawn by itself.

    limit_plot(curve, published)   expected limit against a mass, next to what was published
    reach_plot(answer)             limit and discovery reach against luminosity
    switches_plot(comparison)      the same for several set-ups (belle2dark.projection.compare), with switches_table
    background_plot(search, given)   backgrounds over all masses, by process; background_table: in regions
    limit_map(grid), slice_plot(grid)  limits over two masses (belle2dark.mass_grid); also branching_plot, cut_map
    region_map(regions), region_tables(regions)  dominant backgrounds (belle2dark.macro_regions)
    control_tables(regions)        the same for one mass (belle2dark.mass_regions), with control samples
    spectrum(answer), plane(answer)  signal over backgrounds around the window
    counts_plot(binned), p_value_plot(binned, shifted)   bins of one mass (belle2dark.mass_bins)
    mass_scan_plot(curve)          thousands of masses: limit and local significance (belle2dark.mass_scan)
    alp_plane(curves), alp_rates(search)  axion-like particles: four regimes and what is excluded, ways of production
    dark_matter_plane(curves)      limits on y against the mass of dark matter, with thermal targets
    lifetime_map(curve), lifetime_plot(curve)  scalars in B decays: limits over mass and lifetime
    mass_shape_plot(answers)       their signal at several lifetimes
    mixing_plane(curves)           the same as excluded islands of the mixing (or of the ALP's coupling)
    production_plot(), decay_plot(), scalar_branching_plot()  what theory says of them, with its spread
    inelastic_plane(given)         inelastic dark matter: islands by L1 lines; flight_plot, vertex_plot, mixing_plot,
                                   trigger_reach_table
    cascade_table(answer), final_states_plot(answer)   three dark photons: what they are seen as
    visible_plane(curves)          prompt and displaced dark photons in the plane of mass and coupling
    veto_plot()                    single photons left over, for calorimeters that see less or have no gaps
    trigger_plot(points)           L1 lines against a mass
    kept_plot(search, given, coupling, masses)  long-lived signals: the share that decays where it is seen
    three_body_table()             how well B -> K nu nubar is measured with a search's backgrounds
    search_card(search), cutflow_table(answer), trigger_table(answer)   HTML

``show(figure)`` of :mod:`belle2dark.notebook` puts a figure on the page.
"""

from belle2dark.plots.alp import alp_plane, alp_rates
from belle2dark.plots.b_to_k_invisible import three_body_table
from belle2dark.plots.backgrounds import background_plot, background_table
from belle2dark.plots.bins import counts_plot, p_value_plot
from belle2dark.plots.cascade import cascade_table, final_states_plot
from belle2dark.plots.controls import control_tables
from belle2dark.plots.dark_higgs import branching_plot as scalar_branching_plot
from belle2dark.plots.dark_higgs import decay_plot, lifetime_map, lifetime_plot, mass_shape_plot, mixing_plane, production_plot
from belle2dark.plots.dark_matter import dark_matter_plane
from belle2dark.plots.displaced import kept_plot
from belle2dark.plots.inelastic import flight_plot, inelastic_plane, mixing_plot, trigger_reach_table, vertex_plot
from belle2dark.plots.lepton_flavour import coupling_plane
from belle2dark.plots.limits import limit_plot
from belle2dark.plots.mass_plane import branching_plot, cut_map, limit_map, region_map, region_tables, slice_plot
from belle2dark.plots.mass_scan import mass_scan_plot
from belle2dark.plots.photon_veto import veto_plot
from belle2dark.plots.reach import reach_plot, switches_plot, switches_table
from belle2dark.plots.spectrum import plane, spectrum
from belle2dark.plots.tables import card_html, cutflow_table, search_card, trigger_table
from belle2dark.plots.trigger import trigger_plot
from belle2dark.plots.visible import visible_plane

__all__ = [
    "alp_plane",
    "alp_rates",
    "background_plot",
    "background_table",
    "branching_plot",
    "card_html",
    "cascade_table",
    "control_tables",
    "counts_plot",
    "coupling_plane",
    "cut_map",
    "cutflow_table",
    "dark_matter_plane",
    "decay_plot",
    "final_states_plot",
    "flight_plot",
    "inelastic_plane",
    "kept_plot",
    "lifetime_map",
    "lifetime_plot",
    "limit_map",
    "limit_plot",
    "mass_scan_plot",
    "mass_shape_plot",
    "mixing_plane",
    "mixing_plot",
    "p_value_plot",
    "plane",
    "production_plot",
    "reach_plot",
    "region_map",
    "region_tables",
    "scalar_branching_plot",
    "search_card",
    "slice_plot",
    "spectrum",
    "switches_plot",
    "switches_table",
    "three_body_table",
    "trigger_plot",
    "trigger_reach_table",
    "trigger_table",
    "vertex_plot",
    "veto_plot",
    "visible_plane",
]
