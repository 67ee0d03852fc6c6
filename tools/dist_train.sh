#!/usr/bin/env bash
# Train with several processes on one machine, or on several with NNODES, NODE_RANK, MASTER_ADDR set (docs/distributed.md):
#   tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# MAX_RESTARTS=N with --resume starts the processes again when one dies. Without a GPU they talk through gloo.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2,4p' "$0"; exit 2; fi

source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
run_distributed "$2" train.py "$1" "${@:3}"
