#!/bin/bash
# A real Slurm of one node on this machine, a suite at scale tiny through it, and beside it with --jobs 1.
#
#     sudo tests/slurm/run.sh [PYTHON [SUITE]]     by default .venv/bin/python and quick; Debian or Ubuntu
#
# PYTHON is that of an environment with throughtime[cluster]. Installs slurm-wlm, slurmdbd, munge and mariadb-server from the distribution, replaces /etc/slurm/slurm.conf and
# slurmdbd.conf, and stops the daemons it started. For a machine, or a container, that may be thrown away.
set -euo pipefail

python=$(realpath -s "${1:-.venv/bin/python}")
suite=${2:-quick}
here=$(dirname "$(realpath "$0")")
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 2; }
[ -x "$python" ] || { echo "no Python at $python"; exit 2; }
export DEBIAN_FRONTEND=noninteractive OMP_NUM_THREADS=1
command -v slurmctld slurmd slurmdbd munged mariadbd > /dev/null ||
    { apt-get update -qq; apt-get install -y -qq --no-install-recommends slurm-wlm slurmdbd munge mariadb-server; }

scratch=$(mktemp -d /var/tmp/throughtime-slurm-XXXXXX)
state=$scratch/state
started=()
cleanup() {
    scancel --me 2> /dev/null && sleep 2
    for pid in "${started[@]}"; do kill "$pid" 2> /dev/null || true; done
    wait
    [ -n "${KEEP:-}" ] && echo "kept: $scratch" || rm -rf "$scratch"
}
trap cleanup EXIT

daemon() { # NAME COMMAND...: in the foreground of a job of ours, so that it can be ended
    local name=$1; shift
    "$@" > "$scratch/$name.log" 2>&1 &
    started=("$!" "${started[@]}")
}
until_works() { # COMMAND...: up to 30 s
    for _ in $(seq 60); do "$@" > /dev/null 2>&1 && return; sleep 0.5; done
    echo "not within 30 s: $*"; tail -n 5 "$scratch"/*.log; exit 1
}

# --- munge (who is who) and the database of the accounting, without which nobody can be asked how a job ended
mkdir -p "$state" /run/munge "$scratch/sql" "$scratch/spool"
chmod 755 "$scratch"; chown munge: /run/munge
[ -s /etc/munge/munge.key ] || { head -c 1024 /dev/urandom > /etc/munge/munge.key; chown munge: /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
pgrep -x munged > /dev/null || daemon munged runuser -u munge -- munged --foreground
until_works munge -n

chown mysql: "$scratch/sql"
mariadb-install-db --user=mysql --datadir="$scratch/sql" --skip-test-db > "$scratch/install-db.log" 2>&1
daemon mariadbd mariadbd --no-defaults --user=mysql --datadir="$scratch/sql" --skip-networking \
    --socket="$scratch/sql/socket" --innodb-buffer-pool-size=32M
sql() { mariadb --no-defaults --socket="$scratch/sql/socket" -e "$1"; }
until_works sql "select 1"
sql "create database slurm_acct_db; create user slurm@localhost identified by 'slurm'; grant all on slurm_acct_db.* to slurm@localhost"

# --- Slurm
host=$(hostname -s)
mkdir -p /etc/slurm
cat > /etc/slurm/slurmdbd.conf << CONF
DbdHost=localhost
SlurmUser=root
AuthType=auth/munge
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
PidFile=$scratch/slurmdbd.pid
CONF
chmod 600 /etc/slurm/slurmdbd.conf
cat > /etc/slurm/slurm.conf << CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
# No control groups: a container may not make them.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
StateSaveLocation=$state
SlurmdSpoolDir=$scratch/spool
SlurmctldPidFile=$scratch/slurmctld.pid
SlurmdPidFile=$scratch/slurmd.pid
KillWait=20
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc --all) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export MYSQL_UNIX_PORT=$scratch/sql/socket
daemon slurmdbd slurmdbd -D
until_works sacctmgr -n show cluster
sacctmgr -i add cluster one > /dev/null 2>&1 || true
daemon slurmctld slurmctld -D
until_works scontrol ping
daemon slurmd slurmd -D
idle() { sinfo -h -o %t | grep -qE 'idle|mix|alloc'; }
until_works idle
echo "Slurm $(sinfo --version | cut -d' ' -f2) on $host: $(sinfo -h -o '%C cpus, %t')"

# --- the suite, both ways
cat > "$scratch/slurm.yaml" << YAML
time: 10m
partition: all
cpus: 1
YAML
once=$("$python" -c 'import sys, time; print(time.time())')
"$python" -m throughtime run "$suite" --scale tiny --results "$scratch/slurm" \
    --cluster slurm --cluster-config "$scratch/slurm.yaml"
twice=$("$python" -c 'import sys, time; print(time.time())')
"$python" -m throughtime run "$suite" --scale tiny --results "$scratch/local" --jobs 1
thrice=$("$python" -c 'import sys, time; print(time.time())')
sacct -n -X -o State | sort | uniq -c
"$python" "$here/same.py" "$scratch/local" "$scratch/slurm"
"$python" -c "print(f'Slurm: {$twice - $once:.0f} s; --jobs 1: {$thrice - $twice:.0f} s')"
