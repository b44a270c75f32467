# Redis, its Sentinels and etcd, started and stopped for measurements. Read by lib.sh.
# shellcheck shell=bash

peer_pids=()

# Has a peer's programs on the PATH; else fails, after one attempt to get them.
need_redis() {
    command -v redis-server >/dev/null && command -v redis-cli >/dev/null && return 0
    apt_get redis-tools || return 1
    # In Debian the server is the same program under another name, and its package would start a service.
    ln -sf -- "$(command -v redis-check-rdb)" "$KV_BENCH_TOOLS/redis-server"
    redis-server --version >/dev/null 2>&1
}

need_etcd() {
    command -v etcd >/dev/null && command -v etcdctl >/dev/null && return 0
    apt_get etcd-client || return 1
    # Unpacked and not installed, for its package would start a service.
    (cd "$KV_BENCH_TOOLS" && apt-get download etcd-server >/dev/null 2>&1 &&
        dpkg -x etcd-server_*.deb unpacked && ln -sf unpacked/usr/bin/etcd etcd) || return 1
    etcd --version >/dev/null 2>&1
}

apt_get() {
    ((EUID == 0)) && command -v apt-get >/dev/null || return 1
    say "installing $* (apt-get)"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1
}

# A port on which nobody listens, below those that the system gives to outgoing connections.
free_port() {
    local port
    while true; do
        port=$((12000 + SRANDOM % 8000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# Starts a peer's process in a folder of its own.
start_peer() {
    local folder=$scratch/$1
    shift
    mkdir -p -- "$folder"
    (cd "$folder" && exec "$@") </dev/null >"$folder/log" 2>&1 &
    peer_pids+=($!)
}

stop_peers() {
    local pid
    for pid in ${peer_pids[@]+"${peer_pids[@]}"}; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    for pid in ${peer_pids[@]+"${peer_pids[@]}"}; do
        wait "$pid" 2>/dev/null || true
    done
    peer_pids=()
}

# Waits until a command succeeds, with no output.
wait_for() {
    local what=$1 until_s=$((SECONDS + 30))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < until_s)) || fail "$what: not within 30 s; the logs are below $scratch"
        sleep 0.05
    done
}

# start_redis FSYNC REPLICAS: a primary with so many replicas, which all keep an append-only file as FSYNC
# says. Sets redis_ports, the primary first.
start_redis() {
    local fsync=$1 replicas=$2 number port
    local -a options
    redis_ports=()
    for ((number = 0; number <= replicas; number++)); do
        port=$(free_port)
        options=()
        ((number == 0)) || options+=(--replicaof 127.0.0.1 "${redis_ports[0]}")
        redis_ports+=("$port")
        start_redis_on "$port" "$fsync" "${options[@]}"
        wait_for "a Redis server answers" redis-cli -p "$port" ping
    done
    wait_for "the replicas follow" redis_has_replicas "${redis_ports[0]}" "$replicas"
}

# start_redis_on PORT FSYNC OPTIONS…: one server, with the data that one on this port left.
start_redis_on() {
    local port=$1 fsync=$2
    shift 2
    start_peer "redis-$port" redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly yes \
        --appendfsync "$fsync" --auto-aof-rewrite-percentage 0 --repl-diskless-sync-delay 0 "$@"
}

redis_has_replicas() { (($(redis-cli -p "$1" info replication | grep -c 'state=online') >= $2)); }

# start_sentinels DOWN_AFTER_MS: three of them for the primary in redis_ports. Sets sentinels.
start_sentinels() {
    local number port folder
    sentinels=''
    for number in 1 2 3; do
        port=$(free_port)
        folder=$scratch/sentinel-$port
        mkdir -p -- "$folder"
        cat >"$folder/sentinel.conf" <<TEXT
port $port
bind 127.0.0.1
dir $folder
sentinel monitor mymaster 127.0.0.1 ${redis_ports[0]} 2
sentinel down-after-milliseconds mymaster $1
sentinel failover-timeout mymaster 10000
sentinel parallel-syncs mymaster 2
TEXT
        start_peer "sentinel-$port" redis-server "$folder/sentinel.conf" --sentinel
        sentinels+=${sentinels:+,}127.0.0.1:$port
        wait_for "sentinel $number answers" redis-cli -p "$port" ping
    done
    local sentinel
    for sentinel in ${sentinels//,/ }; do
        wait_for "the Sentinels know each other and the replicas" sentinel_knows_all "${sentinel##*:}"
    done
}

sentinel_knows_all() {
    redis-cli -p "$1" sentinel master mymaster | paste - - |
        awk '$1 == "num-slaves" && $2 == 2 { replicas = 1 }
             $1 == "num-other-sentinels" && $2 == 2 { others = 1 }
             END { exit !(replicas && others) }'
}

# Three members of etcd at its defaults. Sets etcd_members, and etcd_pids in the same order.
start_etcd() {
    local number cluster=''
    local -a client_ports=() peer_ports=()
    for number in 0 1 2; do
        client_ports+=("$(free_port)")
        peer_ports+=("$(free_port)")
        cluster+=${cluster:+,}member-$number=http://127.0.0.1:${peer_ports[number]}
    done
    etcd_members='' etcd_commands=()
    for number in 0 1 2; do
        etcd_members+=${etcd_members:+,}127.0.0.1:${client_ports[number]}
        start_peer "etcd-$number" etcd --name "member-$number" --data-dir "$scratch/etcd-$number/data" \
            --listen-client-urls "http://127.0.0.1:${client_ports[number]}" \
            --advertise-client-urls "http://127.0.0.1:${client_ports[number]}" \
            --listen-peer-urls "http://127.0.0.1:${peer_ports[number]}" \
            --initial-advertise-peer-urls "http://127.0.0.1:${peer_ports[number]}" \
            --initial-cluster "$cluster" --initial-cluster-state new --log-level error \
            --quota-backend-bytes 8000000000
        etcd_pids[number]=$!
    done
    wait_for "etcd is healthy" env ETCDCTL_API=3 etcdctl --endpoints "$etcd_members" endpoint health
}

# The number of the member that leads.
etcd_leader() {
    local member number=0
    for member in ${etcd_members//,/ }; do
        # The fifth column says whether the member leads.
        if ETCDCTL_API=3 etcdctl --endpoints "$member" endpoint status 2>/dev/null | grep -qE ', true, '; then
            echo "$number"
            return
        fi
        number=$((number + 1))
    done
    fail "no member of etcd leads"
}
