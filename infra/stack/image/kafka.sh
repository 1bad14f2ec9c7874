#!/bin/bash
# Starts a broker with the settings in KAFKA_..., named as in Kafka's own image: KAFKA_LOG_DIRS is log.dirs.
set -euo pipefail
properties=/tmp/server.properties
env | sed -nE 's/^KAFKA_([A-Z_]+)=(.*)$/\1 \2/p' | while read -r name value; do
    case $name in HEAP_OPTS | OPTS | JVM_PERFORMANCE_OPTS) continue ;; esac
    echo "$(tr 'A-Z_' 'a-z.' <<<"$name")=$value"
done >"$properties"
java=(/opt/java/bin/java ${KAFKA_HEAP_OPTS:--Xms256m -Xmx512m} -XX:+UseSerialGC -XX:TieredStopAtLevel=1
    -Dlog4j2.level=WARN -cp "/opt/kafka/lib/*")
"${java[@]}" kafka.tools.StorageTool format --config "$properties" \
    --cluster-id "${CLUSTER_ID:-AAAAAAAAAAAAAAAAAAAAAQ}" --ignore-formatted
exec "${java[@]}" kafka.Kafka "$properties"
