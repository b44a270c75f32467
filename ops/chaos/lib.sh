# What the chaos scripts have in common: options, the target that they break, the load that judges, the verdict.
# A script says what it does in SUMMARY, reads this file, and calls chaos_begin, then fault and recovered in
# turn for as long as chaos_goes_on, and chaos_end.
# shellcheck shell=bash

LEFT_OUT=77
IN_SYNC_TIMEOUT_S=60
# Operations of the load that are under way at any time.
LOAD_CLIENTS=16
LOAD_KEYS=2000
LOAD_VALUE_BYTES=${LOAD_VALUE_BYTES:-64}

chaos_directory=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
chaos_name=$(basename -- "$0")

# A script may set these before chaos_begin.
NEEDS=${NEEDS:-}                 # hosts: only a target whose network can be cut
MAY_FAIL=${MAY_FAIL:-yes}        # no: an operation that fails is a finding
OPTIONS_HELP=${OPTIONS_HELP:-}   # further options, for --help

# shellcheck source=ops/chaos/target.sh
. "$chaos_directory/target.sh"
# shellcheck source=ops/chaos/judge.sh
. "$chaos_directory/judge.sh"

usage() {
    cat <<TEXT
ops/chaos/$chaos_name: $SUMMARY

  ops/chaos/$chaos_name [--duration TIME] [--seed N] [--target WHAT] [--debug]

  --duration TIME  how long, such as 30s or 10m; 30s if not said
  --seed N         what decides about victims and moments; drawn and printed if not said. What the machine
                   makes of it in time differs from run to run
  --target WHAT    playground: the one that this runs in, or a new one (the default)
                   hosts: a playground on network namespaces, by root
                   systemd: the units kv-coordinator and kvnode@node-I of this machine, by root; KV_COORDINATOR
                   says where the coordinator is (127.0.0.1:7100 if not said)
  --debug          a new playground runs the debug programs
${OPTIONS_HELP:+$OPTIONS_HELP
}
Meanwhile $LOAD_CLIENTS clients read, write and count, and remember what was acknowledged. At the end every key is
read back, all copies are compared, and a table says: faults that were made, acknowledged writes, of these
lost, reads that were stale, increments that took effect twice, operations that failed (the client library
gave up or was refused), the longest time without an acknowledged write, and the longest time from the end
of a fault until all copies were in sync again.

Exits with 0 when nothing was lost, stale or doubled and all copies are in sync and equal$(
        [[ $MAY_FAIL == yes ]] || echo ', and no operation failed'
    ); with 1 when
not; with 2 on wrong usage; with $LEFT_OUT and the reason in the last line when this machine cannot do it.
TEXT
}

fail() {
    echo "$chaos_name: $*" >&2
    exit 1
}

wrong_usage() {
    echo "$chaos_name: $*" >&2
    echo "$chaos_name: see ops/chaos/$chaos_name --help" >&2
    exit 2
}

left_out() {
    echo "$chaos_name: $*" >&2
    exit $LEFT_OUT
}

now_ms() {
    local now_us=${EPOCHREALTIME/[.,]/}
    echo "${now_us%???}"
}

# A number from $1 to $2. Never called in a subshell, where the series of numbers would stand still: the
# result is in `drawn`.
draw() {
    drawn=$(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1 + 1)))
}

# One of the words; the result is in `drawn`.
draw_word() {
    draw 1 $#
    drawn=${!drawn}
}

# Waits from $1 to $2 milliseconds.
nap() {
    draw "$1" "$2"
    sleep "$((drawn / 1000)).$(printf '%03d' $((drawn % 1000)))"
}

# Takes the common options; others go to `script_option`, if the script has it, which sets `taken`.
read_options() {
    duration=30s target=playground
    seed='' profile=''
    while (($# > 0)); do
        case $1 in
            -h | --help)
                usage
                exit 0
                ;;
            --duration)
                [[ ${2:-} =~ ^[1-9][0-9]{0,4}[smh]$ ]] || wrong_usage "--duration takes a time such as 30s or 10m"
                duration=$2
                shift 2
                ;;
            --seed)
                [[ ${2:-} =~ ^[0-9]{1,9}$ ]] || wrong_usage "--seed takes a number of at most 9 digits"
                seed=$2
                shift 2
                ;;
            --target)
                [[ ${2:-} =~ ^(playground|hosts|systemd)$ ]] || wrong_usage "--target takes playground, hosts or systemd"
                target=$2
                shift 2
                ;;
            --debug)
                profile=--debug
                shift
                ;;
            *)
                taken=0
                ! declare -F script_option >/dev/null || script_option "$@"
                ((taken > 0)) || wrong_usage "'$1' is not known"
                shift "$taken"
                ;;
        esac
    done
    seed=${seed:-$((SRANDOM % 1000000))}
    duration_s=${duration%[smh]}
    case $duration in
        *m) duration_s=$((duration_s * 60)) ;;
        *h) duration_s=$((duration_s * 3600)) ;;
    esac
}

# Reads the options, finds or makes the target, runs `prepare` if the script has it, and begins the load.
# At the end, however it comes, `restore` is run if the script has it.
chaos_begin() {
    read_options "$@"
    target_enter "$@"
    RANDOM=$seed
    scratch=$(mktemp -d)
    trap chaos_clean_up EXIT
    faults=0 recovery_ms_max=0
    : >"$scratch/findings"
    ! declare -F prepare >/dev/null || prepare
    wait_in_sync || fail "the copies are not in sync to begin with"
    echo "$chaos_name: $duration on $target, seed $seed" >&2
    began_ms=$(now_ms)
    judge_begin
}

chaos_clean_up() {
    local code=$?
    trap - EXIT
    judge_stop
    target_heal || true
    ! declare -F restore >/dev/null || restore || code=1
    rm -rf -- "$scratch"
    exit "$code"
}

# Whether there is time for another fault.
chaos_goes_on() {
    judge_is_there || fail "the load ended early: $(tail -n 3 "$scratch/judge.err")"
    (($(now_ms) - began_ms < duration_s * 1000))
}

say() {
    printf '%s: %6.1f s  %s\n' "$chaos_name" "$(milliseconds_as_seconds $(($(now_ms) - began_ms)))" "$*" >&2
}

# Says what is done to whom.
fault() {
    faults=$((faults + 1))
    say "$*"
}

# Something that must not be.
finding() {
    # A file, because members are also started in the background.
    echo "$*" >>"$scratch/findings"
    say "FOUND: $*"
}

# The fault is over: waits until all copies are in sync, and keeps how long that took.
recovered() {
    local since_ms took_ms
    since_ms=$(now_ms)
    if ! wait_in_sync; then
        finding "the copies are not in sync $IN_SYNC_TIMEOUT_S s after the fault"
        return
    fi
    took_ms=$(($(now_ms) - since_ms))
    ((took_ms <= recovery_ms_max)) || recovery_ms_max=$took_ms
}

wait_in_sync() {
    local until_s=$((SECONDS + IN_SYNC_TIMEOUT_S)) in_sync copies
    while true; do
        read -r in_sync copies < <(copies_in_sync) || true
        [[ -n ${copies:-} && $in_sync == "$copies" ]] && return 0
        ((SECONDS < until_s)) || return 1
        sleep 0.05
    done
}

chaos_end() {
    recovered
    judge_end
    kvclient --timeout 20s digest >"$scratch/digest" 2>&1 ||
        finding "the copies are not shown to be equal: $(tail -n 1 "$scratch/digest")"
    ((faults > 0)) || finding "no fault was made"
    verdict
}
