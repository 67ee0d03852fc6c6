import pytest

from vlprompt.compat.environment import check_environment, check_mm_families, check_torch_pair, environment_report
from vlprompt.errors import EnvironmentProblem


def test_this_installation_is_sound():
    check_environment()
    assert environment_report()['torch'][0].isdigit()


def test_two_families_of_mm_packages_are_told_apart():
    installed = {'onedl-mmengine': '0.10.12', 'mmengine': '0.10.7', 'onedl-mmcv': '2.3.6', 'mmdet': '3.3.0'}
    with pytest.raises(EnvironmentProblem) as error:
        check_mm_families(installed.get)
    assert 'pip uninstall -y onedl-mmengine mmengine\n  pip install onedl-mmengine' in str(error.value)


@pytest.mark.parametrize('names', [('onedl-mmengine', 'onedl-mmcv'), ('mmengine', 'mmcv', 'mmsegmentation', 'mmdet')])
def test_either_family_alone_is_fine(names):
    check_mm_families(dict.fromkeys(names, '1').get)


def test_a_mismatched_pair_is_answered_with_what_to_install():
    def broken(name):
        raise RuntimeError('operator torchvision::nms does not exist')

    with pytest.raises(EnvironmentProblem) as error:
        check_torch_pair({'torch': '2.9.0+cpu', 'torchvision': '0.24.0'}.get, broken)
    message = str(error.value)
    assert 'torchvision 0.24.0 does not work with torch 2.9.0+cpu: operator torchvision::nms' in message
    assert 'pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu' in message


def test_a_missing_torchvision_is_named():
    with pytest.raises(EnvironmentProblem, match='torchvision not installed:\n  pip install'):
        check_torch_pair({'torch': '2.9.0'}.get)
