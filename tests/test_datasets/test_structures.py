import pytest
import torch

from vlprompt.structures import ClassificationSample


def test_scores_set_the_label_and_survive_to_dict():
    sample = ClassificationSample(metainfo=dict(img_path='a.jpg')).set_gt_label(2)
    sample.set_pred_score(torch.tensor([0.1, 0.2, 0.7]))
    exported = sample.to_dict()
    assert exported['img_path'] == 'a.jpg'
    assert exported['gt_label'].tolist() == exported['pred_label'].tolist() == [2]
    assert exported['pred_score'].shape == (3,)
    assert sample.cpu().gt_label.dtype == torch.int64


@pytest.mark.parametrize('label', [1.5, [1, 2], torch.tensor([0.0])])
def test_a_label_is_one_integer(label):
    with pytest.raises(ValueError, match='gt_label must be one integer'):
        ClassificationSample().set_gt_label(label)


def test_scores_have_one_axis():
    with pytest.raises(ValueError, match=r'shape \(K,\)'):
        ClassificationSample().set_pred_score(torch.zeros(1, 3))
