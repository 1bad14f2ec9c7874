#!/bin/sh
# `restarting PROGRAM...` runs a program, and again each time that `restarting again` was called beside it.
# It ends as the program does, and passes SIGTERM on.
set -u
pid_file=${RESTARTING_PID:-/tmp/restarting.pid}

if [ "$*" = again ]; then
    [ -e "$pid_file" ] || exit 0 # it is starting: it will see what has changed
    touch "$pid_file.again"
    exec kill -TERM "$(cat "$pid_file")"
fi

stop() {
    rm -f "$pid_file.again"
    kill -TERM "$program" 2>/dev/null
}
trap stop TERM INT

while :; do
    rm -f "$pid_file.again"
    "$@" &
    program=$!
    echo "$program" >"$pid_file"
    wait "$program"
    code=$?
    while kill -0 "$program" 2>/dev/null; do # a signal ends the waiting before the program
        wait "$program"
        code=$?
    done
    [ -e "$pid_file.again" ] || exit "$code"
done
