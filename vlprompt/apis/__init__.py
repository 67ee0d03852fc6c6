"""Using models from Python."""

from vlprompt.compat.environment import check_environment

check_environment()  # before anything imports torchvision or an mm package

from vlprompt.apis.init_model import init_model  # noqa: E402

__all__ = ['init_model']
