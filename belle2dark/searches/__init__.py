"""One module per search, ``<mediator>_<signature>.py``, each exporting ``SEARCH``. Searches never import each other."""
