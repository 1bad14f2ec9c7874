#!/usr/bin/env bash
# A Kafka broker (KRaft, one node, loopback) in the foreground.
# usage: run.sh install | run.sh DATA_DIRECTORY PORT [KEY=VALUE ...]   (server.properties; PORT+1 is the controller's)
source "$(dirname "$0")/../common.sh"
home=$cache/kafka
java=$(require_java 17)/bin/java
mark=$(sha256sum <"$stack/kafka/pom.xml")

alone maven
if ! installed "$home/VERSION" "$mark"; then
    echo "stack: getting Kafka" >&2
    rm -rf "$home"
    jars "$stack/kafka/pom.xml" "$home/lib"
    echo "$mark" >"$home/VERSION"
fi
together
[ "${1:-}" != install ] || exit 0

mkdir -p "$1"
data=$(cd "$1" && pwd) port=$2
shift 2
cat >"$data/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$data/log
# One broker: there is nobody to hold a second copy.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# A killed broker is let in again when its former session has ended.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
END
for setting in "$@"; do
    echo "$setting" >>"$data/server.properties"
done
kafka() {
    "$@" -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.level=${KAFKA_LOG:-WARN}" -cp "$home/lib/*" "${main[@]}"
}
if [ ! -f "$data/log/meta.properties" ]; then
    main=(kafka.tools.StorageTool format --config "$data/server.properties" --cluster-id AAAAAAAAAAAAAAAAAAAAAQ --ignore-formatted)
    kafka "$java" >/dev/null
fi
main=(kafka.Kafka "$data/server.properties")
kafka exec "$java"
