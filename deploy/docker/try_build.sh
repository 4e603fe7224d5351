#!/bin/sh
# Build the Dockerfile where there is no Docker engine and no registry, with Debian's buildah, and look at what came out.
#
#   sudo sh deploy/docker/try_build.sh
#
# The base image is made from Debian's own packages (debootstrap and python3.11) and given the name that FROM has. Every
# instruction of the Dockerfile runs, in a chroot instead of a container; limits, networks and health checks of an engine do
# not. The image is mounted, its command is run as its user in a chroot, and /health is asked as HEALTHCHECK does.
# BUILD_OPTIONS: more options of `buildah bud`, for example --volume of a pip configuration. MIRROR: Debian mirror.
set -eu

# The mirror is the one that this machine's apt uses.
MIRROR=${MIRROR:-$(apt-get indextargets --no-release-info --format '$(SITE)' 2>/dev/null | head -n 1)}
BASE=docker.io/library/python:3.11-slim
IMAGE=localhost/ami_rotator:try
ROOT=${TRY_ROOT:-$(mktemp -d)}
cd "$(dirname "$0")/../.."
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs

if ! buildah inspect --type image "$BASE" >/dev/null 2>&1; then
    if [ ! -x "$ROOT/base/usr/local/bin/python" ]; then
        debootstrap --variant=minbase --include=python3.11,python3.11-venv,python3-pip,ca-certificates \
            bookworm "$ROOT/base" "$MIRROR" >"$ROOT/debootstrap.log"
        for name in python python3; do ln -s /usr/bin/python3.11 "$ROOT/base/usr/local/bin/$name"; done
    fi
    empty=$(buildah from scratch)
    buildah add --quiet "$empty" "$ROOT/base" /
    buildah config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$empty"
    buildah commit --quiet --rm "$empty" "$BASE"
fi

# shellcheck disable=SC2086
buildah bud --pull-never --format docker --tag "$IMAGE" ${BUILD_OPTIONS:-} .

echo "--- configuration"
buildah inspect --type image "$IMAGE" | python3 -c '
import json, sys
found = json.load(sys.stdin)["Docker"]["config"]
wanted = {"User": "rotator", "StopSignal": "SIGTERM", "Entrypoint": ["ami-rotator"], "Cmd": ["serve"], "WorkingDir": "/data"}
print(json.dumps({name: found.get(name) for name in [*wanted, "Healthcheck", "Env"]}, indent=1))
wrong = {name: found.get(name) for name, value in wanted.items() if found.get(name) != value}
sys.exit(f"not as the Dockerfile says: {wrong}" if wrong or not found.get("Healthcheck") else 0)'

container=$(buildah from --pull-never "$IMAGE")
tree=$(buildah mount "$container")
trap 'kill "$daemon" 2>/dev/null || true; wait 2>/dev/null || true; buildah umount "$container" >/dev/null; buildah rm "$container" >/dev/null' EXIT
daemon=
run() {
    chroot --userspec=10001:10001 "$tree" /usr/bin/env -i PATH=/opt/rotator/bin:/usr/local/bin:/usr/bin:/bin \
        DATA_DIR=/data API_HOST=127.0.0.1 API_PORT=18099 ADMIN_TOKEN=token-of-this-try-0123456789 "$@"
}
echo "--- size of the tree and of what was added: $(du -sh "$tree" | cut -f1), $(du -sh "$tree/opt/rotator" | cut -f1)"
echo "--- no development tools inside"
! ls "$tree"/opt/rotator/lib/python3.11/site-packages | grep -E '^(pytest|playwright|ruff|mypy|hatchling|pip)(-|$)'
echo "--- user, and that it cannot write to the program"
run id
! run sh -c 'touch /opt/rotator/x' 2>/dev/null
run ami-rotator --help >/dev/null
run ami-rotator dialplan | head -3

echo "--- the daemon, with its own stores and the simulator, asked as HEALTHCHECK does"
mkdir -p "$tree/proc" "$tree/dev"
touch "$tree/dev/null" && mount --bind /dev/null "$tree/dev/null"
touch "$tree/dev/urandom" && mount --bind /dev/urandom "$tree/dev/urandom"
mount -t proc proc "$tree/proc"
trap 'kill -TERM "$daemon" 2>/dev/null || true; wait 2>/dev/null || true; umount "$tree/proc" "$tree/dev/null" "$tree/dev/urandom"; buildah umount "$container" >/dev/null; buildah rm "$container" >/dev/null' EXIT
(cd / && run ami-rotator serve >"$ROOT/serve.log" 2>&1) &
daemon=$!
tries=0
until run python -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:18099/health', timeout=4).read().decode())" 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -gt 60 ] || ! kill -0 "$daemon" 2>/dev/null; then
        tail -20 "$ROOT/serve.log" >&2
        exit 1
    fi
    sleep 1
done
echo "--- SIGTERM"
python3 - "$ROOT/serve.log" <<'PYTHON'
import os, pathlib, signal, sys, time
mine = [int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()]
def command(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
daemons = [pid for pid in mine if b"/opt/rotator/bin/ami-rotator" in command(pid) and pathlib.Path(f"/proc/{pid}").stat().st_uid == 10001]
started = time.monotonic()
for pid in daemons:
    os.kill(pid, signal.SIGTERM)
while any(command(pid) for pid in daemons) and time.monotonic() - started < 20:
    time.sleep(0.05)
print(f"stopped {len(daemons)} process in {time.monotonic() - started:.1f} s")
sys.exit(0 if daemons and "Stopped." in pathlib.Path(sys.argv[1]).read_text() else "it did not stop as it should")
PYTHON
echo "Everything that can be tried without an engine works."
