#!/bin/bash
# A batch on eight machines of a Slurm cluster, with all their GPUs; give `sbatch examples/ray_slurm.sh JOBS OUT` again to go on.
# PortraitTalk lies in a virtual environment on a disk that all machines see, as do portraits, speeches and OUT.
#SBATCH --job-name=portraittalk
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --time=12:00:00

set -eu
jobs=$1 out=$2
source "${PORTRAITTALK_ENVIRONMENT:-$HOME/portraittalk}/bin/activate"
export RAY_USAGE_STATS_ENABLED=0 # else Ray reports to its makers

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$head:6379
srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" ray start --head --port=6379 --include-dashboard=false --block &
sleep 20
if [ "$SLURM_NNODES" -gt 1 ]; then
    srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --overlap --exclude="$head" \
        ray start --address="$address" --block &
fi
sleep 20
srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" portraittalk batch "$jobs" --out "$out" --ray "$address"
