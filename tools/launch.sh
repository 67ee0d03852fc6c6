# Functions of dist_train.sh, dist_test.sh, slurm_train.sh and slurm_test.sh.
HERE=$(dirname "${BASH_SOURCE[0]}")

# run_distributed PROCESSES TOOL [arguments]: on this machine, or on several with NNODES, NODE_RANK, MASTER_ADDR set.
run_distributed() {
    "${PYTHON:-python}" -m torch.distributed.run \
        --nnodes="${NNODES:-1}" \
        --node_rank="${NODE_RANK:-0}" \
        --master_addr="${MASTER_ADDR:-127.0.0.1}" \
        --master_port="${PORT:-29500}" \
        --nproc_per_node="$1" \
        --max-restarts="${MAX_RESTARTS:-0}" \
        "$HERE/$2" "${@:3}" --launcher pytorch
}

# run_slurm PARTITION JOB_NAME TOOL [arguments]: GPUS processes with a GPU each.
run_slurm() {
    local gpus=${GPUS:-4}
    local per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    # shellcheck disable=SC2086  (SRUN_ARGS holds several words)
    srun -p "$1" \
        --job-name="$2" \
        --gres="gpu:$per_node" \
        --ntasks="$gpus" \
        --ntasks-per-node="$per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=1 \
        ${SRUN_ARGS:-} \
        "${PYTHON:-python}" -u "$HERE/$3" "${@:4}" --launcher slurm
}
