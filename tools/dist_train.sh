#!/usr/bin/env bash
# Train with several processes on one machine, or on several with NNODES, NODE_RANK, MASTER_ADDR set:
#   tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# Without a GPU the processes talk through gloo.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '2,4p' "$0"; exit 2; fi

CONFIG=$1
PROCESSES=$2
HERE=$(dirname "${BASH_SOURCE[0]}")

"${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$PROCESSES" \
    "$HERE/train.py" "$CONFIG" --launcher pytorch "${@:3}"
