"""The trigger: what the L1 hardware sees of an event (``objects``) and which lines of a menu fire (``menu``).

``tracks`` and ``clusters`` make the objects, ``response`` holds their numbers; ``efficiency`` and ``rates`` study lines;
``hlt`` has the lines of the high-level trigger that low-multiplicity searches rest on. L1, HLT and offline are three stages.
"""
