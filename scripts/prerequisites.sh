#!/bin/sh
# Check for Python 3.11+ with venv and Java 17+; as root on Debian, install what is missing.
# With --python: print the Python to use. With --redis or --browser: check for Redis or Chromium,
# which the rest can do without.
set -eu

has_chromium() {
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null && return
    done
    return 1
}

find_python() {
    for name in python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

has_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

has_java() {
    java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
    major=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${major:-0}" -ge 17 ] 2>/dev/null
}

install() {
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "installing $1" >&2
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1"; } >&2
    else
        echo "error: $2 is missing. Install it (Debian, Ubuntu: apt-get install $1)." >&2
        exit 1
    fi
}

if [ "${1:-}" = "--redis" ]; then
    command -v redis-server >/dev/null || install redis-server "Redis"
    exit 0
fi
if [ "${1:-}" = "--browser" ]; then
    has_chromium || install chromium "Chromium, which the tests of the page drive,"
    exit 0
fi
python=$(find_python) || {
    echo "error: Python 3.11 or newer is missing. Install it (Debian 12, Ubuntu 24.04: python3)." >&2
    exit 1
}
if [ "${1:-}" = "--python" ]; then
    echo "$python"
    exit 0
fi
has_venv "$python" || install python3-venv "Python's venv"
has_java || install openjdk-17-jre-headless "Java 17 or newer"
