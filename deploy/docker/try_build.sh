#!/bin/sh
# Build the Dockerfile where there is no Docker engine and no registry, with Debian's buildah, and try what came out.
#
#   sudo sh deploy/docker/try_build.sh
#
# The base image is made from Debian's own packages (debootstrap and python3.11) and given the name that FROM has. Every
# instruction of the Dockerfile runs, in a chroot instead of a container. Then try_image.py runs the image's command as its
# configuration says; limits, networks and restarts of an engine are not tried.
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
buildah inspect --type image "$IMAGE" >"$ROOT/image.json"
container=$(buildah from --pull-never "$IMAGE")
trap 'buildah umount "$container" >/dev/null; buildah rm "$container" >/dev/null' EXIT
unshare --mount python3 deploy/docker/try_image.py "$ROOT/image.json" "$(buildah mount "$container")"
