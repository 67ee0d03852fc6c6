#!/usr/bin/env bash
# Test with several processes on one machine, or on several with NNODES, NODE_RANK, MASTER_ADDR set:
#   tools/dist_test.sh CONFIG CHECKPOINT|none PROCESSES [options of tools/test.py]
# Without a GPU the processes talk through gloo.
set -euo pipefail
if [ $# -lt 3 ]; then sed -n '2,4p' "$0"; exit 2; fi

source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
run_distributed "$3" test.py "$1" "$2" "${@:4}"
