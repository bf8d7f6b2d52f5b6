"""Statistics of searches: numbers in, limits out; knows no physics.

========================  ==========================================================================================
:mod:`.counting`          upper limits of counting searches: Bayesian, CLs, Feldman-Cousins, with systematics
:mod:`.bands`             expected limits with -2 .. +2 sigma band
:mod:`.discovery`         p-values, significances, luminosity for a discovery
:mod:`.punzi`             figure of merit for choosing a selection
:mod:`.windows`           counting events in thousands of overlapping ellipses
:mod:`.nuisance`          the ``Uncertainties`` record, and how averages over systematics are taken
========================  ==========================================================================================

``averaged``, ``flat_prior``, ``feldman_cousins`` and ``special`` hold the compiled kernels. Import from the modules: this
package itself imports nothing, so that asking for one of them does not load the others.
"""
