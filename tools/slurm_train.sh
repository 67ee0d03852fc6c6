#!/usr/bin/env bash
# Train under Slurm:
#   GPUS=8 tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS are read from the environment.
set -euo pipefail
if [ $# -lt 3 ]; then sed -n '2,4p' "$0"; exit 2; fi

source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
run_slurm "$1" "$2" train.py "${@:3}"
