#!/usr/bin/env bash
# Train with several processes on one machine, or on several with NNODES, NODE_RANK, MASTER_ADDR set:
#   tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# Without a GPU the processes talk through gloo.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2,4p' "$0"; exit 2; fi

source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
run_distributed "$2" train.py "$1" "${@:3}"
