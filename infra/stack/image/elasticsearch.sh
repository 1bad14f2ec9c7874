#!/bin/bash
# Starts a node with the settings in the environment, named as in Elasticsearch's own image: discovery.type=...
# Security is a module that is not published: its settings are left out, and the node has none.
set -euo pipefail
data=/usr/share/elasticsearch/data
mkdir -p /tmp/home
cp -r /opt/elasticsearch/modules /tmp/home/
mapfile -t settings < <(env | grep -E '^[a-z_]+(\.[a-z_]+)+=' | grep -v '^xpack\.')
exec /opt/java/bin/java ${ES_JAVA_OPTS:--Xms512m -Xmx512m} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog=WARN \
    -Des.path.home=/tmp/home -Dio.netty.noUnsafe=true --enable-native-access=ALL-UNNAMED \
    -cp "/opt/elasticsearch/classes:/opt/elasticsearch/lib/*" StackNode /tmp/home \
    "path.data=$data" path.logs=/tmp/logs network.host=0.0.0.0 http.port=9200 transport.port=9300 "${settings[@]}"
