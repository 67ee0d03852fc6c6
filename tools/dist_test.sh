#!/usr/bin/env bash
# Test with several processes on one machine, or on several with NNODES, NODE_RANK, MASTER_ADDR set:
#   tools/dist_test.sh CONFIG CHECKPOINT|none PROCESSES [options of tools/test.py]
# Without a GPU the processes talk through gloo.
set -euo pipefail
if [ $# -lt 3 ]; then sed -n '2,4p' "$0"; exit 2; fi

CONFIG=$1
CHECKPOINT=$2
PROCESSES=$3
HERE=$(dirname "${BASH_SOURCE[0]}")

"${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$PROCESSES" \
    "$HERE/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
