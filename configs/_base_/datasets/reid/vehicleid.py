# PKU VehicleID, test list of 800 vehicles (vehicleid_1600 and vehicleid_2400 are the larger ones): one gallery image
# per vehicle, drawn ten times; cameras are unknown.
_base_ = './_shared.py'

image_size = (256, 256)
train_dataloader = dict(dataset=dict(dataset='vehicleid'))
val_dataloader = dict(dataset=dict(dataset='vehicleid'))
test_dataloader = dict(dataset=dict(dataset='vehicleid'))
test_evaluator = dict(topk=(1, 5), repeats=10)
val_evaluator = test_evaluator
