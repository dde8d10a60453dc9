# Shared by the scripts in this folder. Source it; do not run it.
# shellcheck shell=bash

# Progress goes to stderr, so that stdout stays free for a script's result.
say() { printf '%s\n' "$*" >&2; }
step() { printf '[%3ds] %s\n' "$SECONDS" "$*" >&2; }
die() { say "error: $*"; exit 1; }

# at_end FUNCTION runs FUNCTION, with the status as its argument, when the script ends, whatever brings that. Nothing cuts it
# short: no second signal, no step of it that fails, and no reader of our output that is gone, as `| tee log` is after
# the Ctrl-C that ended us.
at_end() {
  AT_END=$1
  trap ending EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  trap 'exit 141' PIPE
}

# shellcheck disable=SC2317 # the trap calls it
ending() {
  local status=$?
  trap '' INT TERM HUP PIPE
  trap - EXIT
  set +e
  "$AT_END" "$status"
  exit "$status"
}

need_root() { [ "$(id -u)" = 0 ] || die "run this as root"; }

# apt_need PACKAGE... installs only those Debian packages which are missing.
apt_need() {
  local package missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  step "installing ${missing[*]}"
  if [ -z "${APT_UPDATED:-}" ]; then
    apt-get update -qq >&2 || return 1
    APT_UPDATED=1
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# tool_need COMMAND PACKAGE... installs the packages unless the command is there, wherever it came from.
tool_need() {
  local command=$1
  shift
  command -v "$command" >/dev/null || apt_need "$@"
}

# Rust may stand in a place that root's shell does not know yet.
rust_need() {
  command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  local needed found
  needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  command -v cargo >/dev/null || die "Rust is missing: install $needed or newer from https://rustup.rs and start this again"
  found=$(cargo --version | cut -d' ' -f2)
  printf '%s\n' "$needed" "$found" | sort -CV ||
    die "Rust $found is too old: install $needed or newer from https://rustup.rs and start this again"
  # Some crates bring C code.
  tool_need cc gcc libc6-dev || die "divert needs a C compiler"
}

# watched LABEL LOG COMMAND... runs a command that takes long, its output in LOG, and shows that it is alive.
# When it fails, it shows the end of LOG. The command is a process group of its own, in WATCHED_PID while it runs.
watched() {
  local label=$1 log=$2 began=$SECONDS shown=$SECONDS status=0 last
  shift 2
  step "$label"
  setsid "$@" </dev/null >>"$log" 2>&1 &
  WATCHED_PID=$!
  while kill -0 "$WATCHED_PID" 2>/dev/null; do
    sleep 0.2
    [ $((SECONDS - shown)) -ge 15 ] || continue
    shown=$SECONDS
    last=$(tail -n 1 "$log" | tr -d '\r' | cut -c1-90)
    step "  … $((SECONDS - began)) s: $last"
  done
  wait "$WATCHED_PID" || status=$?
  WATCHED_PID=
  [ "$status" = 0 ] && return 0
  say "this failed with status $status; the end of its output:"
  tail -n 30 "$log" >&2
  return "$status"
}

watched_end() {
  [ -n "${WATCHED_PID:-}" ] || return 0
  kill -- "-$WATCHED_PID" 2>/dev/null || true
  wait "$WATCHED_PID" 2>/dev/null || true
  WATCHED_PID=
}

# free_ports COUNT prints the first of COUNT free ports in a row (UDP and TCP), below the range that the kernel gives to
# clients and above the one that Asterisk takes for audio unless told otherwise.
free_ports() {
  local first port taken used
  mapfile -t used < <(cat /proc/net/{tcp,tcp6,udp,udp6} 2>/dev/null | sed -nE 's/^ *[0-9]+: [0-9A-F]+:([0-9A-F]{4}) .*/\1/p')
  for _ in {1..100}; do
    first=$((20000 + RANDOM % 6000 * 2))
    taken=
    for port in "${used[@]}"; do
      ((16#$port < first || 16#$port >= first + $1)) || taken=1
    done
    [ -n "$taken" ] || { echo "$first" && return 0; }
  done
  die "there are no $1 free ports in a row"
}

# docker_up makes Docker usable. A daemon it had to start has its pid in DOCKERD_PID; docker_down stops only that one.
docker_up() {
  docker info >/dev/null 2>&1 && return 0
  if ! command -v dockerd >/dev/null; then
    apt_need docker.io || { say "Docker is not installed and could not be installed"; return 1; }
    docker info >/dev/null 2>&1 && return 0 # the package may have started it
  fi
  local log driver
  log=$(mktemp -t dockerd.XXXXXX.log)
  DOCKERD_LOG=$log
  # No bridge and no iptables: all our containers share the host's network, and a small VM may have neither.
  # Where overlay2 is refused (a container in a container), vfs is slow but always works.
  for driver in "" vfs; do
    step "starting dockerd (log: $log)"
    setsid nohup dockerd --iptables=false --ip6tables=false --bridge=none \
      ${driver:+--storage-driver="$driver"} </dev/null >>"$log" 2>&1 &
    DOCKERD_PID=$!
    for _ in {1..60}; do
      docker info >/dev/null 2>&1 && return 0
      kill -0 "$DOCKERD_PID" 2>/dev/null || break
      sleep 0.5
    done
    docker_stop
  done
  say "Docker cannot run here; the last it said:"
  tail -n 5 "$log" >&2
  rm -f "$log"
  return 1
}

docker_down() {
  [ -n "${DOCKERD_PID:-}" ] || return 0
  docker_stop
  rm -f "$DOCKERD_LOG"
}

docker_stop() {
  [ -n "${DOCKERD_PID:-}" ] || return 0
  kill "$DOCKERD_PID" 2>/dev/null || true
  wait "$DOCKERD_PID" 2>/dev/null || true
  DOCKERD_PID=
}
