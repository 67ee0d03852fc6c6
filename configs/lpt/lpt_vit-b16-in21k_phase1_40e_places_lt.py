_base_ = './lpt_vit-b16-in21k_2x40e_places_lt.py'

# Row (c): phase 1 alone.
phases = dict(_delete_=True, shared=dict())
