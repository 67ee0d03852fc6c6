_base_ = ['./reid_rn50_120e.py', './clipreid_phases.py']
