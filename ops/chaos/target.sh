# The targets that chaos scripts break, and who is who in them. Read by lib.sh.
# shellcheck shell=bash

# Goes on inside the target: in a new playground, unless this runs in one, or on this machine's units.
target_enter() {
    local playground=$chaos_directory/../playground
    case $target in
        playground)
            [[ $NEEDS != hosts ]] || left_out "needs a network that can be cut: --target hosts"
            [[ -z ${KV_PLAYGROUND_DIR:-} ]] || return 0
            exec "$playground" ${profile:+"$profile"} -- "$0" "$@"
            ;;
        hosts)
            [[ -z ${KV_PLAYGROUND_HOSTS:-} ]] || return 0
            [[ -z ${KV_PLAYGROUND_DIR:-} ]] || fail "this playground has no hosts; leave it, or start one with --hosts"
            ((EUID == 0)) || left_out "--target hosts needs root"
            unshare --net --mount true 2>/dev/null || left_out "--target hosts needs network namespaces"
            exec "$playground" --hosts ${profile:+"$profile"} -- "$0" "$@"
            ;;
        systemd)
            [[ $NEEDS != hosts ]] || left_out "needs a network that can be cut: --target hosts"
            ((EUID == 0)) || left_out "--target systemd needs root"
            systemctl is-active --quiet kv-coordinator.service ||
                fail "the unit kv-coordinator does not run; ops/RUNBOOK.md says how to install and start the units"
            export KV_COORDINATOR=${KV_COORDINATOR:-127.0.0.1:7100}
            ;;
    esac
}

# The unit of a member.
unit() {
    case $1 in
        coordinator) echo kv-coordinator.service ;;
        *) echo "kvnode@$1.service" ;;
    esac
}

# member VERB NAME: kill (-9), stop (cleanly), start, pause or resume the coordinator or a node.
member() {
    local verb=$1 name=$2
    if [[ $target != systemd ]]; then
        playground-node "$verb" "$name" || finding "'$verb $name' failed"
        return
    fi
    # systemd starts again what dies; a member may be between two lives, and there is nothing to kill then.
    case $verb in
        kill) systemctl kill --kill-whom=main --signal=KILL "$(unit "$name")" || true ;;
        pause) systemctl kill --kill-whom=main --signal=STOP "$(unit "$name")" || true ;;
        resume) systemctl kill --kill-whom=main --signal=CONT "$(unit "$name")" || true ;;
        stop | start) systemctl "$verb" "$(unit "$name")" || finding "'$verb $name' failed" ;;
    esac
}

# Where a member keeps its data.
data_directory() {
    if [[ $target == systemd ]]; then
        echo "/var/lib/kv/$1"
    else
        echo "$KV_PLAYGROUND_DIR/$1"
    fi
}

# What a script may have left half done.
target_heal() {
    local name
    [[ $target != hosts ]] || playground-network heal
    for name in ${paused[@]+"${paused[@]}"}; do
        member resume "$name" 2>/dev/null || true
    done
}

status_text() { kvclient --timeout 2s status 2>/dev/null; }

# Prints how many copies are in sync, and of how many.
copies_in_sync() { status_text | sed -nE '1s/.* ([0-9]+) of ([0-9]+) copies in sync.*/\1 \2/p'; }

# Prints the names of all nodes.
nodes() { status_text | awk 'NR > 2 { print $1 }'; }

# Prints the name of the primary, or nothing while there is none.
primary() { status_text | sed -nE '1s/.*primary ([^ ]+) at .*/\1/p'; }

# Prints the names of the backups that are in sync.
backups() { status_text | awk 'NR > 2 && $3 == "backup" { print $1 }'; }

# The primary, once there is one.
wait_primary() {
    local until_s=$((SECONDS + IN_SYNC_TIMEOUT_S)) name
    until name=$(primary) && [[ -n $name ]]; do
        ((SECONDS < until_s)) || fail "there is no primary after $IN_SYNC_TIMEOUT_S s"
        sleep 0.05
    done
    echo "$name"
}
