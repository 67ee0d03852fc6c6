_base_ = ['./reid_micro_20e.py', './clipreid_phases.py']
