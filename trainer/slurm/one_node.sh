#!/usr/bin/env bash
# A Slurm of one node, this machine, for trying the scripts of this folder without a cluster.
#
#   one_node.sh start DIR    starts munged, slurmctld and slurmd, with everything they write in DIR
#   one_node.sh env DIR      prints what a shell needs to talk to it: eval "$(one_node.sh env DIR)"
#   one_node.sh stop DIR     cancels its jobs and ends all it has started; DIR stays, for its logs
#
# CPUS=4 pretends that many CPUs; without it there are as many as the machine has. Nothing is bound
# to them and memory is counted, not limited, so that no cgroup is needed. It runs as root and looks
# at no configuration of another Slurm. Debian: apt-get install slurm-wlm munge
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}
[ $# = 2 ] || usage
command=$1
case $command in start | stop | env) ;; *) usage ;; esac
[ "$command" != start ] || mkdir -p "$2"
dir=$(realpath -- "$2")
export SLURM_CONF=$dir/slurm.conf

# Two neighbouring ports that nobody listens on.
free_ports() {
    local port
    for port in $(shuf -i 20000-32000 -n 50); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null &&
            ! (exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    echo "one_node.sh: no free ports" >&2
    return 1
}

fail() {
    echo "one_node.sh: $1" >&2
    local log
    for log in munged slurmctld slurmd; do
        echo "--- the end of $dir/$log.log" >&2
        tail -n 15 "$dir/$log.log" >&2 2>/dev/null || true
    done
    stop
    exit 1
}

# Whether the process that a pid file names is there and is the program that wrote the file.
alive() {
    local pid
    pid=$(cat "$dir/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]
}

# The processes of this Slurm's jobs, by their environment.
job_processes() {
    local file
    for file in /proc/[0-9]*/environ; do
        if tr '\0' '\n' 2>/dev/null <"$file" | grep -qxF "SLURM_CONF=$SLURM_CONF" &&
            { tr '\0' '\n' <"$file" | grep -q '^SLURM_JOB_ID=' ||
                [ "$(cat "${file%environ}comm")" = slurmstepd ]; } 2>/dev/null; then
            file=${file#/proc/}
            echo "${file%/environ}"
        fi
    done
}

stop() {
    local name i pids
    if alive slurmctld && alive slurmd; then
        timeout 10 scancel --me --quiet 2>/dev/null || true
        for ((i = 0; i < 50; i++)); do
            [ -n "$(timeout 5 squeue --noheader --states=running,completing 2>/dev/null)" ] || break
            sleep 0.2
        done
    fi
    for name in slurmctld slurmd munged; do
        alive "$name" || continue
        pids=$(cat "$dir/$name.pid")
        kill "$pids" 2>/dev/null || true
        for ((i = 0; i < 50; i++)); do
            kill -0 "$pids" 2>/dev/null || break
            sleep 0.2
        done
        kill -KILL "$pids" 2>/dev/null || true
    done
    # What slurmd has not ended itself.
    pids=$(job_processes)
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
    rm -f "$dir"/{munged,slurmctld,slurmd}.pid "$dir"/munge.socket*
}

start() {
    local name port host cpus memory i
    for name in munged slurmctld slurmd; do
        if ! command -v "$name" >/dev/null; then
            echo "one_node.sh: $name not found; Debian: apt-get install slurm-wlm munge" >&2
            exit 77
        fi
    done
    if [ "$(id -u)" != 0 ]; then
        echo "one_node.sh: must run as root" >&2
        exit 77
    fi
    stop # what an earlier start has left
    rm -rf "$dir"/{state,spool}
    mkdir -p "$dir"/{state,spool}
    : >"$dir/munged.log"
    : >"$dir/slurmctld.log"
    : >"$dir/slurmd.log"
    host=$(hostname -s)
    cpus=${CPUS:-$(nproc)}
    memory=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
    port=$(free_ports)

    (umask 077 && head -c 128 /dev/urandom >"$dir/munge.key")
    cat >"$SLURM_CONF" <<CONF
ClusterName=one_node
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits for cred_expire seconds; by default 120.
AuthInfo=socket=$dir/munge.socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2
SlurmdParameters=config_overrides
JobRequeue=1
ReturnToService=2
KillWait=5
MessageTimeout=10
MinJobAge=3600
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF

    # --force: root alone talks to this munged, so that DIR may lie in a folder of root's own.
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" \
        --seed-file="$dir/munge.seed" --log-file="$dir/munged.log" --num-threads=2 ||
        fail "munged does not start"
    slurmctld -c || fail "slurmctld does not start"
    slurmd -c || fail "slurmd does not start"
    for ((i = 0; i < 60; i++)); do
        if [ "$(timeout 5 sinfo --noheader --format=%T 2>/dev/null)" = idle ]; then
            echo "one_node.sh: $host is idle, $cpus CPUs; eval \"\$($0 env $dir)\""
            return
        fi
        sleep 1
    done
    fail "the node is not idle after a minute: $(timeout 5 sinfo 2>&1 | tail -n 1)"
}

case $command in
start) start ;;
stop) stop ;;
env) echo "export SLURM_CONF=$SLURM_CONF" ;;
esac
