#!/usr/bin/env bash
# The steps of the GitHub Action, one a word: install, key, prepare, start, save-logs. What the user has chosen comes in
# variables that action.yml sets: VERSION, REPOSITORY, IMAGE_TAG, IMAGE_REPOSITORY, CONFIG_FILE, FORMAT.
#
# tests/tests/action.rs runs them as a runner does.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# A pull without --tag gets the rolling release of this branch.
default_tag=emulator-dev-latest

# Sets a result of the step.
result() { printf '%s=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"; }
# Sets a variable of the steps that follow.
variable() { printf '%s=%s\n' "$1" "$2" >>"$GITHUB_ENV"; }

# The command line; QEMU where there is none; a home of the job's own, of which nothing but the emulator's is cached.
install() {
    local prefix=$RUNNER_TEMP/stack-emulator arguments=()
    if [ -n "${VERSION:-}" ]; then arguments=(--version "$VERSION"); fi
    STACK_EMULATOR_PREFIX=$prefix STACK_EMULATOR_REPOSITORY=${REPOSITORY:-} \
        sh "$here/../../install.sh" ${arguments[@]+"${arguments[@]}"}
    printf '%s\n' "$prefix/bin" >>"$GITHUB_PATH"
    variable STACK_EMULATOR_HOME "$RUNNER_TEMP/stack-emulator-home"
    result home "$RUNNER_TEMP/stack-emulator-home"
    if command -v qemu-img >/dev/null; then return; fi
    case $(uname -s)-$(uname -m) in
    Linux-x86_64) packages=(qemu-system-x86 qemu-utils) ;;
    Linux-aarch64) packages=(qemu-system-arm qemu-efi-aarch64 qemu-utils) ;;
    *)
        brew install qemu
        return
        ;;
    esac
    # The QEMU of Ubuntu 24.04 is too old; its own archive of newer ones has one that will do.
    if grep -q 'VERSION_ID="24.04"' /etc/os-release; then sudo add-apt-repository --yes --no-update cloud-archive:epoxy; fi
    sudo apt-get update
    sudo apt-get install --yes --no-install-recommends "${packages[@]}"
    # The accelerator probe decides whether KVM is used; this lets it try.
    if [ -e /dev/kvm ]; then sudo chmod 666 /dev/kvm || printf 'KVM stays closed\n'; fi
}

# Under which name image and snapshot are cached: the image's digest, and what a snapshot belongs to.
key() {
    local machine repository=() digest
    case $(uname -m) in
    x86_64) machine=amd64 ;;
    *) machine=arm64 ;;
    esac
    if [ -n "${IMAGE_REPOSITORY:-}" ]; then repository=(--repo "$IMAGE_REPOSITORY"); fi
    digest=$(stack-emulator releases --json ${repository[@]+"${repository[@]}"} |
        jq --raw-output --arg tag "${IMAGE_TAG:-$default_tag}" --arg name "stack-emulator-$machine.qcow2" \
            '[.releases[] | select(.tag == $tag) | .assets[] | select(.name == $name) | .digest][0] // empty')
    if [ -z "$digest" ]; then
        printf '::error::no release %s with an image for %s\n' "${IMAGE_TAG:-$default_tag}" "$machine"
        exit 1
    fi
    local host
    host=$({
        qemu-img --version | head -n 1
        grep -m 1 'model name' /proc/cpuinfo 2>/dev/null || uname -a
        stack-emulator --version
    } | cksum | cut -d ' ' -f 1)
    result key "stack-emulator-${digest#sha256:}-$host"
}

# Image and snapshot, as far as the cache had none.
prepare() {
    local image=()
    if [ -n "${IMAGE_TAG:-}" ]; then image+=(--tag "$IMAGE_TAG"); fi
    if [ -n "${IMAGE_REPOSITORY:-}" ]; then image+=(--repo "$IMAGE_REPOSITORY"); fi
    stack-emulator pull ${image[@]+"${image[@]}"}
}

# The emulator, and the credentials of the app as variables of the steps that follow.
start() {
    stack-emulator start
    if [ -z "${CONFIG_FILE:-}" ]; then return; fi
    local line name value
    while IFS= read -r line; do
        name=${line%%=*} value=${line#*=}
        # Nobody's but this job's, and yet nothing for its log.
        case $name in
        *SECRET*) printf '::add-mask::%s\n' "$value" ;;
        esac
        variable "$name" "$value"
    done < <(stack-emulator credentials --config-file "$CONFIG_FILE" --format "${FORMAT:-dotenv}")
}

# What there is to see of a failure, without secrets.
save_logs() {
    mkdir -p "$RUNNER_TEMP/stack-emulator-logs"
    stack-emulator diagnostics "$RUNNER_TEMP/stack-emulator-logs/diagnostics.zip" || printf 'there are no diagnostics\n'
}

case ${1:-} in
install) install ;;
key) key ;;
prepare) prepare ;;
start) start ;;
save-logs) save_logs ;;
*)
    printf 'steps.sh: there is no step %s\n' "${1:-}" >&2
    exit 2
    ;;
esac
