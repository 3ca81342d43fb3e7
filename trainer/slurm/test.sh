#!/usr/bin/env bash
# Tests the scripts of this folder on a Slurm of one node, which it starts and ends itself.
#
#   test.sh [PROGRAM] [DATA]
#
# PROGRAM is the trainer, by default the one in PATH. DATA is an nnU-Net folder of at least four
# training cases, by default one that `PROGRAM demo` makes. EPOCHS and STEPS set the length of a run,
# PATCH its patches: steps must take long enough for a signal to come between two of them. WAIT is
# the limit of a wait in seconds, PARTS the checks to make. It must be root, which slurmctld is run as.
# KEEP=1 keeps the folder it works in.
# Exit codes: 0 all passed, 1 a check failed, 77 Slurm is not there, or does not start.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

here=$(cd "$(dirname "$0")" && pwd)
for name in sbatch slurmctld slurmd munged; do
    if ! command -v "$name" >/dev/null; then
        echo "skipped: Slurm: $name not found; Debian: apt-get install slurm-wlm munge"
        exit 77
    fi
done
if [ "$(id -u)" != 0 ]; then
    echo "skipped: Slurm: slurmctld and slurmd of this test run as root"
    exit 77
fi
TRAINER=$(command -v "${1:-trainer}") || {
    echo "test.sh: no program ${1:-trainer}" >&2
    exit 1
}
TRAINER=$(realpath "$TRAINER")
export TRAINER
epochs=${EPOCHS:-2}
steps=${STEPS:-30}
patch=${PATCH:-32,32,32}
limit=${WAIT:-240}
parts=${PARTS:-folds join arms predict}
settings=(--epochs "$epochs" --set "training.steps_per_epoch=$steps" --set model.base_channels=8
    --set "data.patch_size=[$patch]" --set training.checkpoint_steps=2)
export ARGS="${settings[*]}"

dir=$(mktemp -d "${TMPDIR:-/tmp}/trainer_slurm.XXXXXX")
demo=
end() {
    local status=$?
    trap - EXIT
    [ -z "$demo" ] || kill "$demo" 2>/dev/null || true
    "$here/one_node.sh" stop "$dir/node" || true
    if [ "$status" != 0 ]; then
        # What the jobs have said.
        for file in "$dir"/*.out; do
            [ -e "$file" ] || continue
            echo "--- the end of $file" >&2
            tail -n 12 "$file" >&2
        done
    fi
    if [ -n "${KEEP:-}" ]; then echo "kept: $dir"; else rm -rf "$dir"; fi
    exit "$status"
}
mkdir "$dir/node"
trap end EXIT
trap 'exit 130' INT TERM HUP

say() { echo "slurm: $*"; }
fail() {
    echo "slurm: FAILED: $*" >&2
    exit 1
}
# until_true WHAT COMMAND...: waits until the command succeeds.
until_true() {
    local what=$1 end=$((SECONDS + limit))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || fail "not within $limit s: $what"
        sleep 0.1
    done
}
# The value of a key of a job or a task, such as JobState or Restarts. The test's own jobs stay in
# slurmctld's memory long enough; elsewhere sacct is the command for jobs that have ended.
of_job() { scontrol show job "$1" | sed -n "s/.*\b$2=\([^ ]*\).*/\1/p" | head -n 1; }
ended() { [ -z "$(squeue --noheader --jobs="$1" 2>/dev/null)" ]; }
requeued() { [ "$(of_job "$1" Restarts)" = 1 ]; }
in_state() { [ "$(of_job "$1" JobState)" = "$2" ]; }
all_completed() {
    local states
    states=$(scontrol show job "$1" | sed -n 's/.*JobState=\([^ ]*\).*/\1/p' | sort | uniq -c | xargs)
    [ "$states" = "$2 COMPLETED" ] || fail "job $1: $states instead of $2 COMPLETED"
}
# submit SCRIPT FLAGS...: on this machine tasks are small; prints the job's number.
submit() {
    local script=$1
    shift
    (cd "$dir" && sbatch --parsable --cpus-per-task=1 --mem=1000M --time=60 "$@" "$here/$script")
}
# How many of these logs' runs have ended, or were stopped and have ended in between.
ends() { cat "$@" 2>/dev/null | grep -c '"event":"end"' || true; }
weights() { sed -n '/"event":"end"/s/.*"weights_crc32c":"\([0-9a-f]*\)".*/\1/p' "$1/log.jsonl" | tail -n 1; }

if ! CPUS=4 "$here/one_node.sh" start "$dir/node" >/dev/null; then
    echo "skipped: Slurm: a node of this machine alone does not start; the reason is above"
    exit 77
fi
eval "$("$here/one_node.sh" env "$dir/node")"
say "a node of four CPUs is idle"

if [ -n "${2:-}" ]; then
    DATA=$(realpath "$2")
else
    # The demonstration's data are complete when its training begins.
    "$TRAINER" demo --out "$dir/demo" >"$dir/demo.log" 2>&1 &
    demo=$!
    begun() { [ -e "$dir/demo/run/log.jsonl" ] || ! kill -0 "$demo" 2>/dev/null; }
    until_true "a demonstration" begun
    kill "$demo" 2>/dev/null || true
    wait "$demo" || true
    demo=
    [ -e "$dir/demo/data/labelsTr" ] || fail "no demonstration: $(tail -n 3 "$dir/demo.log")"
    DATA=$dir/demo/data
fi
cases=$(find "$DATA/labelsTr" -type f | wc -l)
[ "$cases" -ge 4 ] || fail "$DATA has $cases training cases; four are needed"
say "data: $DATA, $cases training cases"
export DATA
export CACHE=$dir/cache

if [[ $parts = *folds* ]]; then
    export RUN=$dir/folds FOLDS=4
    job=$(submit folds.sbatch --array=0-3)
    say "job $job: four folds, $((epochs * steps)) steps each"

    # A process of fold 1 is killed; fold 0 has a signal, as at the time limit.
    until_true "a checkpoint of fold 1" test -e "$RUN/fold_1/checkpoints/last"
    pid=$(scontrol listpids "$(of_job "${job}_1" JobId).0" | awk 'NR > 1 && $5 == 0 { print $1 }')
    [ -n "$pid" ] || fail "fold 1 has no process"
    kill -KILL "$pid"
    until_true "a checkpoint of fold 0" test -e "$RUN/fold_0/checkpoints/last"
    scancel --signal=TERM "${job}_0"

    # The program ends with 130, and the script requeues its task.
    until_true "fold 0 is requeued by its script" requeued "${job}_0"
    grep -q "Exited with exit code 130" "$dir/slurm-${job}_0.out" || fail "fold 0 did not exit with 130"
    say "fold 0: SIGTERM, exit code 130, requeued by its script"

    # Slurm calls the task whose process was killed failed, and leaves it at that.
    until_true "fold 1 is called failed" in_state "${job}_1" FAILED
    say "fold 1: SIGKILL, state FAILED, exit code $(of_job "${job}_1" ExitCode); Slurm does not requeue it"
    [ "$(ends "$RUN/fold_1/log.jsonl")" = 0 ] || fail "fold 1 had ended before it was killed"
    scontrol requeue "${job}_1"
    say "fold 1: requeued by hand"

    until_true "all folds end" ended "$job"
    all_completed "$job" 4
    for fold in 0 1 2 3; do
        grep -q "\"event\":\"end\",\"step\":$((epochs * steps))," "$RUN/fold_$fold/log.jsonl" ||
            fail "fold $fold did not end after $((epochs * steps)) steps"
    done
    say "all folds have ended with all steps; restarts: $(for fold in 0 1 2 3; do of_job "${job}_$fold" Restarts; done | xargs)"

    for fold in 0 1; do
        "$TRAINER" train "$DATA" --fold "$fold" --folds 4 --out "$dir/by_hand_$fold" "${settings[@]}" \
            >"$dir/by_hand.log" 2>&1 || fail "fold $fold by hand: $(tail -n 3 "$dir/by_hand.log")"
        [ "$(weights "$RUN/fold_$fold")" = "$(weights "$dir/by_hand_$fold")" ] ||
            fail "fold $fold ended with other weights than without interruption"
        say "fold $fold: weights $(weights "$RUN/fold_$fold"), as without interruption"
    done
fi

if [[ $parts = *join* ]]; then
    # A fold that is trained again has another end in its log, and its weights are written anew.
    # afterok:JOB never starts once a task of the array has failed, as fold 1 has; its tasks by name do.
    before=$(ends "$RUN"/fold_*/log.jsonl) sums=$(sha256sum "$RUN"/fold_*/model_last.safetensors)
    join=$(submit join.sbatch --dependency="afterok:${job}_0:${job}_1:${job}_2:${job}_3")
    until_true "the join ends" ended "$join"
    all_completed "$join" 1
    [ -e "$RUN/summary.json" ] || fail "the join made no summary.json"
    [ "$(ends "$RUN"/fold_*/log.jsonl)" = "$before" ] || fail "the join trained a fold"
    [ "$(sha256sum "$RUN"/fold_*/model_last.safetensors)" = "$sums" ] || fail "the join changed weights"
    said=$(grep -c "was trained before" "$dir/slurm-$join.out" || true)
    [ "$said" = 4 ] || fail "the join says of $said folds instead of 4 that they were trained before"
    say "join: summary.json; no fold was trained again"
fi

if [[ $parts = *arms* ]]; then
    export RUN=$dir/study ARMS="bce dice_bce" SEEDS=1
    job=$(submit arms.sbatch --array=0-1)
    # The join waits for the array, also where a script has requeued its task.
    join=$(cd "$dir" && sbatch --parsable --cpus-per-task=1 --mem=1000M --dependency=afterok:"$job" \
        --wrap "touch joined && $TRAINER study $DATA --out $RUN --arms ${ARMS// /,} --seeds $SEEDS --cache $CACHE $ARGS")
    say "job $job: two arms of a study; job $join: their join, after it"
    until_true "a checkpoint of an arm" test -e "$RUN/runs/bce-0/checkpoints/last"
    scancel --signal=TERM "${job}_0"
    until_true "an arm is requeued by its script" requeued "${job}_0"
    say "arm bce: SIGTERM, requeued by its script"
    until_true "all arms end" ended "$job"
    all_completed "$job" 2
    until_true "the study's join ends" ended "$join"
    all_completed "$join" 1
    mapfile -t logs < <(find "$RUN/runs" -name log.jsonl)
    [ "${#logs[@]}" = 2 ] || fail "the study has ${#logs[@]} runs instead of 2"
    for log in "${logs[@]}"; do
        grep -q "\"event\":\"end\",\"step\":$((epochs * steps))," "$log" || fail "$log has no end"
    done
    [ -z "$(find "$RUN/runs" -name log.jsonl -newer "$dir/joined")" ] || fail "the study's join trained an arm"
    say "arms: joined; no arm was trained again"
fi

if [[ $parts = *predict* ]]; then
    export MODEL=$dir/folds/fold_0 IMAGES=$DATA/imagesTr MASKS=$dir/masks
    job=$(ARGS='' submit predict.sbatch --array=0-1)
    say "job $job: two shares of the images"
    until_true "all shares end" ended "$job"
    all_completed "$job" 2
    "$TRAINER" predict "$MODEL" "$IMAGES" --out "$dir/masks_by_hand" >"$dir/predict.out" 2>&1 ||
        fail "prediction by hand: $(tail -n 3 "$dir/predict.out")"
    diff -r "$MASKS" "$dir/masks_by_hand" >&2 || fail "the shares' masks are not those of one prediction"
    [ "$(find "$MASKS" -type f | wc -l)" -ge "$cases" ] || fail "masks are missing"
    say "predict: the masks of two shares are those of one prediction"
fi

say "all checks passed"
