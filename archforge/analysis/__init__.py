"""Facts about a typed graph: its counts, its ledger, the checked cells of `expect`, memory, receptive fields.

`network.py` joins a spec's profile with its counts and cells; `checks.py` judges cells; `fitting_profile.py`
finds the profile that weights belong to. Nothing here computes with arrays.
"""
