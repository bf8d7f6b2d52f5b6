"""Detector response: what of a true event is seen, and how well.

``experiments`` holds one :class:`Detector` record per experiment: Belle II, Belle, BaBar. Two ways lead from events to
what is seen:

- ``response`` (:func:`reconstruct`): two muons from the beam line and nothing else, fast; ``dilepton`` derives their masses
  and angles.
- ``observed`` (:func:`observe`): any events, from ``tracks``, ``calorimeter``, ``particle_id`` and ``klm``; then ``vertexing``
  for displaced pairs, ``photons`` and ``multitrack`` for masses.

Both smear and give probabilities as weights; nothing is lost by a draw.
"""
