# A handful of COCO photographs with the 80 classes of COCO, in the layout of coco_json.py.
_base_ = './coco_json.py'

data_root = 'data/coco128'
class_names, num_classes = 'coco', 80
