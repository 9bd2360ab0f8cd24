# The directory, the ports and the processes of scripts/services.
# shellcheck shell=bash disable=SC2154

declare -A PORT=()

say() { printf 'services: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# A name under /tmp can be made by anybody, so a directory of someone else is refused.
own_dir() { [[ -O $dir && ! -L $dir ]] || die "$dir belongs to somebody else"; }

make_dir() {
  # Others may pass through (the servers' own users do) but not look around.
  [[ -d $dir ]] || mkdir -m 0711 "$dir" || die "cannot make $dir"
  own_dir
  mkdir -p "$dir/log" "$dir/pid"
  local user
  for user in postgres mysql redis; do
    id -u "$user" >/dev/null 2>&1 || continue # its kind is not wanted
    as "$user" test -x "$dir" ||
      die "user $user cannot enter $dir; set DIALTONE_SERVICES_DIR to a directory it can pass through"
  done
}

# The directory itself is what is locked: `down` removes everything in it.
lock() {
  exec 9<"$dir"
  flock -w 120 9 || die "another scripts/services holds $dir"
}

# as USER CMD...: root steps down to USER, anybody else runs CMD as himself.
as() {
  local user=$1
  shift
  if [[ $EUID -eq 0 ]]; then
    setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups -- "$@"
  else
    "$@"
  fi
}

# give USER PATH...: hands files over to the user that `as` steps down to.
give() {
  local user=$1
  shift
  [[ $EUID -ne 0 ]] || chown -R "$user:$(id -gn "$user")" "$@"
}

load_ports() {
  local name port
  [[ -r $dir/ports ]] || return 0
  while IFS='=' read -r name port; do PORT[$name]=$port; done <"$dir/ports"
}

choose_ports() {
  local name port
  for name in "${port_names[@]}"; do
    [[ -z ${PORT[$name]:-} ]] || continue
    while :; do
      port=$((20000 + (RANDOM * 32768 + RANDOM) % 10000))
      [[ " ${PORT[*]-} " != *" $port "* ]] || continue
      # Nobody answers there: the port is free.
      (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    PORT[$name]=$port
    printf '%s=%s\n' "$name" "$port" >>"$dir/ports"
  done
}

make_password() {
  [[ -s $dir/password ]] || (umask 077 && printf 'Dt-%s\n' "$(openssl rand -hex 12)" >"$dir/password")
}

password() { cat "$dir/password"; }

# Pid and start time together name a process; a pid alone is reused. A process that
# has ended but was not yet reaped has no start time here.
start_time() { sed -n 's/.*) //; /^[ZX]/!p' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
pid_of() { cut -d' ' -f1 "$dir/pid/$1"; }

running() {
  local pid started
  [[ -s $dir/pid/$1 ]] || return 1
  read -r pid started <"$dir/pid/$1"
  [[ -n $started && $(start_time "$pid") == "$started" ]]
}

all_running() {
  local name
  for name in "${process_names[@]}"; do running "$name" || return 1; done
}

# spawn NAME USER CMD...: starts a server in a session of its own, holding neither
# our lock nor our output, and remembers it.
spawn() {
  local name=$1 user=$2 step=()
  shift 2
  [[ $EUID -ne 0 ]] || step=(setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups --)
  cd "$dir" || return
  setsid "${step[@]}" "$@" </dev/null >>"$dir/log/$name.log" 2>&1 9>&- &
  printf '%s %s\n' "$!" "$(start_time "$!")" >"$dir/pid/$name"
  disown
}

# await NAME CMD...: until CMD succeeds, for 30 seconds or the caller's patience; a server that
# ended meanwhile is shown at once.
await() {
  local name=$1 end=$((SECONDS + ${patience:-30}))
  shift
  until "$@" >/dev/null 2>&1; do
    if ! running "$name" || ((SECONDS > end)); then
      say "$name did not start on port ${PORT[$name]:--}:"
      tail -n 15 "$dir/log/$name.log" >&2
      return 1
    fi
    sleep 0.05
  done
}

stop_all() {
  local name pid end=$((SECONDS + 10)) left
  for name in "${process_names[@]}"; do
    # INT is Postgres's fast shutdown; TERM would wait for its clients.
    if running "$name"; then
      [[ $name == postgres* ]] && kill -INT "$(pid_of "$name")" || kill "$(pid_of "$name")"
    fi 2>/dev/null || true
  done
  while :; do
    left=()
    for name in "${process_names[@]}"; do running "$name" && left+=("$name"); done
    ((${#left[@]})) || return 0
    ((SECONDS < end)) || break
    sleep 0.05
  done
  for name in "${left[@]}"; do
    pid=$(pid_of "$name")
    say "$name (pid $pid) does not stop, killed"
    kill -KILL "$pid" 2>/dev/null || true
  done
}
