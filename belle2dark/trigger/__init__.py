"""The L1 trigger: what the hardware sees of an event (``objects``) and which lines of a menu fire (``menu``).

L1, HLT and offline are three stages; this package is about L1 only.
"""
