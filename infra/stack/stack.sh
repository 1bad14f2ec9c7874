#!/usr/bin/env bash
# Kafka, Elasticsearch and MinIO on this machine, without containers.
# usage: stack.sh install | start | stop | status
#   STACK_DATA  where they keep their data and logs (default: .cache/stack/data)
#   STACK_PORT  the first of their ports (default: 19092); see `ports` below
source "$(dirname "$0")/common.sh"
data=${STACK_DATA:-$cache/data}
base=${STACK_PORT:-19092}
servers=(kafka elasticsearch minio)
declare -A ports=([kafka]=$base [elasticsearch]=$((base + 108)) [minio]=$((base + 208)))
seconds=90

healthy() {
    local address=127.0.0.1:${ports[$1]}
    case $1 in
        kafka) (: <"/dev/tcp/${address/://}") 2>/dev/null ;;
        elasticsearch) curl --silent --fail --max-time 5 --noproxy '*' --output /dev/null \
            "http://$address/_cluster/health?wait_for_status=yellow&timeout=1s" ;;
        minio) curl --silent --fail --max-time 5 --noproxy '*' --output /dev/null \
            "http://$address/minio/health/ready" ;;
    esac
}

alive() {
    kill -0 "$(cat "$data/$1.pid" 2>/dev/null)" 2>/dev/null
}

start() {
    need curl curl
    local server
    mkdir -p "$data"
    for server in "${servers[@]}"; do
        "$stack/$server/run.sh" install
        alive "$server" && continue
        ! healthy "$server" || fail "port ${ports[$server]} is taken by another $server; set STACK_PORT"
        setsid "$stack/$server/run.sh" "$data/$server" "${ports[$server]}" \
            >>"$data/$server.log" 2>&1 </dev/null &
        echo $! >"$data/$server.pid"
    done
    for server in "${servers[@]}"; do
        wait_for "$server"
    done
    urls
}

wait_for() {
    local end=$((SECONDS + seconds))
    until healthy "$1"; do
        alive "$1" || fail "$1 did not start; the end of $data/$1.log:
$(tail -n 15 "$data/$1.log")"
        [ $SECONDS -lt $end ] || fail "$1 is not healthy after $seconds s; see $data/$1.log"
        sleep 0.2
    done
}

urls() {
    cat <<END
ISOCENTER_BUS=kafka://127.0.0.1:${ports[kafka]}
ISOCENTER_BLOBS=s3://127.0.0.1:${ports[minio]}/isocenter
ISOCENTER_INDEX=elasticsearch://127.0.0.1:${ports[elasticsearch]}
ISOCENTER_S3__ACCESS_KEY=isocenter
ISOCENTER_S3__SECRET_KEY=isocenter-secret
ISOCENTER_ELASTICSEARCH__REPLICAS=0
END
}

stop() {
    local server pid
    for server in "${servers[@]}"; do
        alive "$server" || continue
        pid=$(cat "$data/$server.pid")
        kill "$pid"
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        rm -f "$data/$server.pid"
    done
}

status() {
    local server wrong=0
    for server in "${servers[@]}"; do
        if healthy "$server"; then
            echo "$server: healthy on 127.0.0.1:${ports[$server]}"
        else
            echo "$server: down"
            wrong=1
        fi
    done
    return $wrong
}

case ${1:-} in
    install) for server in "${servers[@]}"; do "$stack/$server/run.sh" install; done ;;
    start | stop | status) "$1" ;;
    *) fail "usage: $0 install | start | stop | status" ;;
esac
