#!/usr/bin/env bash
# Test under Slurm:
#   GPUS=8 tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT|none [options of tools/test.py]
# GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS are read from the environment.
set -euo pipefail
if [ $# -lt 4 ]; then sed -n '2,4p' "$0"; exit 2; fi

source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
run_slurm "$1" "$2" test.py "${@:3}"
