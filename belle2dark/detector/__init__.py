"""Detector response: what of a true event is seen, and how well.

``experiments`` holds one :class:`Detector` record per experiment; ``response`` smears and loses particles and returns a
:class:`Reconstruction`; ``dilepton`` derives the masses and angles of the final state "two muons and nothing else".
"""
