# Shared by the scripts in this folder. Source it; do not run it.
# shellcheck shell=bash

# Progress goes to stderr, so that stdout stays free for a script's result.
say() { printf '%s\n' "$*" >&2; }
step() { printf '[%3ds] %s\n' "$SECONDS" "$*" >&2; }
die() { say "error: $*"; exit 1; }

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

# docker_up makes Docker usable. A daemon it had to start has its pid in DOCKERD_PID; docker_down stops only that one.
docker_up() {
  docker info >/dev/null 2>&1 && return 0
  if ! command -v dockerd >/dev/null; then
    apt_need docker.io || { say "Docker is not installed and could not be installed"; return 1; }
    docker info >/dev/null 2>&1 && return 0 # the package may have started it
  fi
  local log driver
  log=$(mktemp -t dockerd.XXXXXX.log)
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
    docker_down
  done
  say "Docker cannot run here; the end of $log:"
  tail -n 5 "$log" >&2
  return 1
}

docker_down() {
  [ -n "${DOCKERD_PID:-}" ] || return 0
  kill "$DOCKERD_PID" 2>/dev/null || true
  wait "$DOCKERD_PID" 2>/dev/null || true
  DOCKERD_PID=
}
