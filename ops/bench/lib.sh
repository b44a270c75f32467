# What the benchmarks have in common: messages, the machine, measurements and where they go. A benchmark says
# what it does in SUMMARY and OPTIONS_HELP and reads this file.
# shellcheck shell=bash

LEFT_OUT=77
bench_directory=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
bench_name=$(basename -- "$0")
# What is built beside the load generator.
bench_packages=()
made_here=()

# shellcheck source=ops/bench/peers.sh
. "$bench_directory/peers.sh"

usage() {
    cat <<TEXT
ops/bench/$bench_name: $SUMMARY

$OPTIONS_HELP
  --runs N         so many of each, in turn; $RUNS if not said. The table has their medians
${DURATION:+  --duration TIME  how long each is measured, such as 2s; $DURATION if not said
}  --results DIR    results.jsonl (one measurement a line), report.md and plots go there; else to a new folder
                   for temporary files
  --debug          the debug programs, to try the benchmark itself; their figures say nothing

Everything runs on this machine: servers, copies and load share its processors. Peers that are missing are
installed from Debian when this is run by root (redis-tools, etcd-server, etcd-client), without starting their
services; a contender that cannot be had is left out and named.
TEXT
}

say() { echo "$bench_name: $*" >&2; }

fail() {
    say "$@"
    exit 1
}

wrong_usage() {
    say "$@"
    say "see ops/bench/$bench_name --help"
    exit 2
}

# Takes the common options; others go to `bench_option`, which sets `taken`.
read_options() {
    runs=$RUNS duration=$DURATION
    results='' profile=''
    while (($# > 0)); do
        case $1 in
            -h | --help)
                usage
                exit 0
                ;;
            --runs)
                [[ ${2:-} =~ ^[1-9][0-9]{0,2}$ ]] || wrong_usage "--runs takes a number from 1 to 999"
                runs=$2
                shift 2
                ;;
            --duration)
                [[ -n $DURATION ]] || wrong_usage "nothing here is measured for a time"
                [[ ${2:-} =~ ^[1-9][0-9]*(ms|s|m)$ ]] || wrong_usage "--duration takes a time such as 2s"
                duration=$2
                shift 2
                ;;
            --results)
                [[ -n ${2:-} ]] || wrong_usage "--results takes a folder"
                results=$2
                shift 2
                ;;
            --debug)
                profile=--debug
                shift
                ;;
            *)
                taken=0
                bench_option "$@"
                ((taken > 0)) || wrong_usage "'$1' is not known"
                shift "$taken"
                ;;
        esac
    done
}

# take_contenders LIST: sets contenders to those, which have to be among CONTENDERS.
take_contenders() {
    local one
    contenders=${1//,/ }
    for one in $contenders; do
        [[ " $CONTENDERS " == *" $one "* ]] || wrong_usage "there is no contender '$one'; there are: $CONTENDERS"
    done
}

# Builds the load generator, and makes the folder for results. A benchmark that goes on in a playground comes
# by here once more, with all of it made.
bench_begin() {
    if [[ -n ${KV_BENCH_RESULTS:-} ]]; then
        make_scratch
        trap bench_clean_up EXIT
        return
    fi
    results=${results:-$(mktemp -d "${TMPDIR:-/tmp}/kv-bench.XXXXXX")}
    mkdir -p -- "$results"
    results=$(cd -- "$results" && pwd)
    : >"$results/results.jsonl"
    : >"$results/left-out"
    local target flags=(--locked -p load-generator "${bench_packages[@]/#/-p}")
    [[ -n $profile ]] || flags+=(--release)
    target=$(cd "$bench_directory" && cargo metadata --locked --format-version 1 --no-deps |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    (cd "$bench_directory" && cargo build "${flags[@]}" >&2)
    KV_BENCH_TOOLS=$(mktemp -d)
    made_here+=("$KV_BENCH_TOOLS")
    trap bench_clean_up EXIT
    programs=$target/$([[ -n $profile ]] && echo debug || echo release)
    PATH=$KV_BENCH_TOOLS:$programs:$PATH
    # 10,000 connections need as many open files, here and in the servers.
    ulimit -n "$(ulimit -Hn)"
    export KV_BENCH_RESULTS=$results KV_BENCH_TOOLS PATH
}

bench_clean_up() {
    local code=$?
    trap - EXIT
    stop_peers
    rm -rf -- "${made_here[@]}"
    exit "$code"
}

# A folder for the peers, until the end of this program.
make_scratch() {
    scratch=$(mktemp -d)
    made_here+=("$scratch")
}

# in_playground FSYNC NODES ARGUMENTS…: goes on with this benchmark in a new cluster.
in_playground() {
    local fsync=$1 nodes=$2
    shift 2
    "$bench_directory/../playground" --fsync "$fsync" --nodes "$nodes" ${profile:+"$profile"} -- "$0" "$@" ||
        fail "the measurements in a cluster failed"
}

# Keeps results that come in, and shows them.
keep() { tee -a "$KV_BENCH_RESULTS/results.jsonl" >&2; }

# Runs the load generator, and keeps what it printed.
measure() {
    local line
    line=$(load-generator "$@") || fail "load-generator $* failed"
    printf '%s\n' "$line" >>"$KV_BENCH_RESULTS/results.jsonl"
    say "$line"
}

leave_out() { printf '%s\n' "$*" >>"$KV_BENCH_RESULTS/left-out"; }

primary() { kvclient status | sed -nE '1s/.*primary ([^ ]+) at .*/\1/p'; }

# Where the primary serves Redis clients.
redis_door() { cat "$KV_PLAYGROUND_DIR/$(primary).redis-address"; }

wait_in_sync() {
    local until_s=$((SECONDS + 60))
    until kvclient --timeout 2s status 2>/dev/null | sed -n 1p | grep -qE ' ([0-9]+) of \1 copies in sync'; do
        ((SECONDS < until_s)) || fail "the copies are not in sync after 60 s"
        sleep 0.05
    done
}

# One line for each thing that figures depend on.
machine() {
    local model memory_mib
    model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    memory_mib=$(awk '/^MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo)
    cat <<TEXT
- machine: $(nproc) processors (${model:-unknown}), $memory_mib MiB of memory, Linux $(uname -r), temporary
  files on $(df --output=fstype "${TMPDIR:-/tmp}" | tail -n 1); load average before the run: $(cut -d' ' -f1-3 /proc/loadavg)
- commit: $(git -C "$bench_directory" rev-parse --short HEAD 2>/dev/null || echo unknown), $(date -u +%Y-%m-%d)
- peers: $(redis-server --version 2>/dev/null | cut -d' ' -f1-3 || true); $(etcd --version 2>/dev/null | head -n 1 || true)
- command: ops/bench/$bench_name $*
TEXT
}

# bench_report ARGUMENTS…: prints the tables, and leaves them and the plots with the results.
bench_report() {
    {
        printf '# ops/bench/%s\n\n' "$bench_name"
        printf '%s\n' "$machine_then"
        [[ -z $profile ]] || printf '\nDebug programs: these figures say nothing.\n'
        load-generator report --results "$KV_BENCH_RESULTS/results.jsonl" --plots "$KV_BENCH_RESULTS" \
            --goals "$bench_directory/goals"
        sort -u "$KV_BENCH_RESULTS/left-out" | sed 's/^/- left out: /'
    } >"$KV_BENCH_RESULTS/report.md"
    cat "$KV_BENCH_RESULTS/report.md"
    say "results, report and plots are in $KV_BENCH_RESULTS"
}
