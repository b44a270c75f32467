# The load that judges, and the verdict. Read by lib.sh.
# shellcheck shell=bash

judge_pid=

judge_begin() {
    local -a where=()
    [[ $target != hosts ]] || where=(playground-network run client)
    "${where[@]}" kvclient --output json bench --verify --clients "$LOAD_CLIENTS" --keys "$LOAD_KEYS" \
        --value-size "$LOAD_VALUE_BYTES" \
        --read-share 0.5 --increment-share 0.1 --duration "${duration_s}s" --seed "$seed" \
        >"$scratch/judge.json" 2>"$scratch/judge.err" &
    judge_pid=$!
}

# Whether the load is under way; at the end of its time it may just have ended.
judge_is_there() {
    kill -0 "$judge_pid" 2>/dev/null || (($(now_ms) - began_ms >= duration_s * 1000))
}

judge_stop() {
    [[ -z $judge_pid ]] || kill "$judge_pid" 2>/dev/null || true
}

# Waits until every key is read back.
judge_end() {
    local code=0
    wait "$judge_pid" || code=$?
    judge_pid=
    ((code <= 1)) || finding "the load failed with exit code $code: $(tail -n 3 "$scratch/judge.err")"
    # It ends with 1 when it found something wrong, which must then be among the figures.
    ((code == 0 || $(figure wrong) > 0)) || finding "the load ended with exit code 1: $(tail -n 3 "$scratch/judge.err")"
    (($(figure acknowledged) > 0)) || finding "no write was acknowledged"
    local name
    for name in lost stale doubled unexpected unread; do
        (($(figure $name) == 0)) || finding "$name: $(figure $name)"
    done
    [[ $MAY_FAIL == yes ]] || (($(figure errors) == 0)) ||
        finding "operations failed: $(grep -oE '"errors_by_kind":\{[^}]*\}' "$scratch/judge.json")"
}

# A whole number of the load's report; names are unique in it.
figure() {
    local value
    value=$(grep -oE "\"$1\":[0-9]+" "$scratch/judge.json" | head -n 1) || true
    echo "${value##*:}" | grep . || echo 0
}

milliseconds_as_seconds() { printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)); }

ROW='%-22s %6s %12s %5s %5s %7s %7s %8s %13s %17s  %s\n'

heading() {
    # shellcheck disable=SC2059 # the format is this file's own
    printf "$ROW" '' faults acknowledged lost stale doubled failed unknown 'longest pause' 'longest recovery' verdict
}

# Prints the table, and ends the script as the findings say. With CHAOS_ROWS the row goes to that file as well.
verdict() {
    local word=pass row
    [[ ! -s $scratch/findings ]] || word=FAIL
    # shellcheck disable=SC2059 # the format is this file's own
    row=$(printf "$ROW" "${ROW_NAME:-$chaos_name}" "$faults" "$(figure acknowledged)" "$(figure lost)" "$(figure stale)" \
        "$(figure doubled)" "$(figure errors)" "$(figure unknown)" "$(figure longest_write_gap_ms) ms" \
        "$recovery_ms_max ms" "$word")
    heading
    printf '%s\n' "$row"
    [[ -z ${CHAOS_ROWS:-} ]] || printf '%s\n' "$row" >>"$CHAOS_ROWS"
    sed 's/^/found: /' "$scratch/findings"
    [[ $word == pass ]]
}
