_base_ = './lpt_vit-b16-in21k_official_90e_places_lt.py'

# Phase 1 alone, which official phase-1 files are loaded into.
phases = dict(_delete_=True, shared=dict())
