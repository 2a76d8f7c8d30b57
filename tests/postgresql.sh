# A private PostgreSQL for tests; to be sourced. Sets USHER_TEST_POSTGRESQL, a superuser's URL, unless it is set already.
# Lives in a temporary folder, listens on 127.0.0.1 only and has a random password; stop_postgresql removes it.
postgresql_home=

start_postgresql() {
    [ -z "${USHER_TEST_POSTGRESQL:-}" ] || return 0
    local bin port password as=()
    bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
    postgresql_home=$(mktemp -d "${TMPDIR:-/tmp}/usher-pg.XXXXXX")
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    (umask 077 && echo "$password" >"$postgresql_home/password")
    if [ "$(id -u)" -eq 0 ]; then
        # PostgreSQL refuses to run as root.
        chown -R postgres "$postgresql_home"
        as=(runuser -u postgres --)
    fi
    port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    (cd / && "${as[@]}" "$bin/initdb" -D "$postgresql_home/data" -U postgres --auth=scram-sha-256 \
        --pwfile="$postgresql_home/password" -E UTF8 --no-locale -N) >"$postgresql_home.log" 2>&1 &&
        (cd / && "${as[@]}" "$bin/pg_ctl" -D "$postgresql_home/data" -l "$postgresql_home/server.log" -w -t 60 \
            -o "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$postgresql_home -c max_connections=200" \
            start) >>"$postgresql_home.log" 2>&1 || { tail -20 "$postgresql_home.log"; return 1; }
    export USHER_TEST_POSTGRESQL="postgresql://postgres:$password@127.0.0.1:$port/postgres"
}

stop_postgresql() {
    [ -n "$postgresql_home" ] || return 0
    local bin as=()
    bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
    [ "$(id -u)" -ne 0 ] || as=(runuser -u postgres --)
    (cd / && "${as[@]}" "$bin/pg_ctl" -D "$postgresql_home/data" -m immediate -w stop) >/dev/null 2>&1
    rm -rf "$postgresql_home" "$postgresql_home.log"
    postgresql_home=
}
