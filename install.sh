#!/bin/sh
# Installs the command line of Stack Emulator for one user, or removes it:
#
#   sh install.sh                 the newest release, or the one that this file came with
#   sh install.sh --version 1.2.3 that one
#   sh install.sh --uninstall     removes what it has installed; the emulator's data stays
#
# Nothing needs root. Everything goes below ~/.local, or below the folder that STACK_EMULATOR_PREFIX names. The program
# and its documents are unpacked into a folder of their own and linked to from where shells look; the link in bin is
# made last, so that an interrupted run leaves either the release of before or none.
#
# STACK_EMULATOR_REPOSITORY (owner/name on GitHub) and STACK_EMULATOR_DOWNLOADS (address of the releases) are for
# mirrors and tests.
set -eu

# Filled in by `cargo xtask release installer`.
repository=''
version=''

# Below share, in a release and in the prefix.
completions='bash-completion/completions/stack-emulator zsh/site-functions/_stack-emulator
    fish/vendor_completions.d/stack-emulator.fish'

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

usage() {
    say "Usage: install.sh [--version VERSION] | --uninstall"
    say "Installs Stack Emulator's command line into ${STACK_EMULATOR_PREFIX:-~/.local}. See the top of the file."
}

# The system as releases call it.
find_target() {
    system=$(uname -s)
    machine=$(uname -m)
    case $system in
    Linux)
        # The program needs the GNU C library.
        if (ldd --version 2>&1 || :) | grep -qi musl; then
            fail "this system uses musl, and releases are for glibc; build from source instead"
        fi
        platform=unknown-linux-gnu
        ;;
    Darwin)
        platform=apple-darwin
        # A shell in Rosetta is told of an Intel processor.
        if [ "$(sysctl -n sysctl.proc_translated 2>/dev/null || :)" = 1 ]; then
            machine=arm64
        fi
        ;;
    *) fail "there are releases for Linux and macOS, not for $system" ;;
    esac
    case $machine in
    x86_64 | amd64) target=x86_64-$platform ;;
    aarch64 | arm64) target=aarch64-$platform ;;
    *) fail "there are releases for x86_64 and arm64 processors, not for $machine" ;;
    esac
}

# download ADDRESS FILE
download() {
    if has curl; then
        curl --fail --silent --show-error --location --proto "$protocols" --retry 2 --output "$2" "$1"
    elif has wget; then
        wget -q -O "$2" "$1"
    else
        fail "neither curl nor wget is here; install one of them"
    fi || fail "cannot download $1"
}

# Prints the SHA-256 digest of FILE.
digest_of() {
    if has sha256sum; then
        sha256sum "$1"
    elif has shasum; then
        shasum -a 256 "$1"
    else
        fail "neither sha256sum nor shasum is here; install one of them"
    fi | cut -d ' ' -f 1
}

# Whether PLACE is a link into the folder of releases.
is_ours() {
    [ -L "$1" ] || return 1
    case $(readlink "$1") in
    "$store"/*) ;;
    *) return 1 ;;
    esac
}

# Prints all links that were made, those that an interrupted run has not moved into place included.
links() {
    for link in "$prefix"/bin/stack-emulator* \
        "$prefix"/share/man/man1/stack-emulator* \
        "$prefix"/share/bash-completion/completions/stack-emulator* \
        "$prefix"/share/zsh/site-functions/_stack-emulator* \
        "$prefix"/share/fish/vendor_completions.d/stack-emulator*; do
        if is_ours "$link"; then printf '%s\n' "$link"; fi
    done
}

# Fails if something is at PLACE that this script has not made.
check_place() {
    if [ -e "$1" ] || [ -L "$1" ]; then
        is_ours "$1" || fail "$1 is there already and was not installed by install.sh; move it away"
    fi
}

# link TARGET PLACE: puts a link at PLACE, in one step where there is one.
link() {
    mkdir -p "$(dirname "$2")"
    ln -s "$1" "$2.new-$$"
    mv -f "$2.new-$$" "$2"
}

# Removes the folders of this prefix that are empty now, and no others.
tidy() {
    for folder in share/man/man1 share/man share/bash-completion/completions share/bash-completion \
        share/zsh/site-functions share/zsh share/fish/vendor_completions.d share/fish share bin \
        lib/stack-emulator lib; do
        rmdir "$prefix/$folder" 2>/dev/null || :
    done
    rmdir "$prefix" 2>/dev/null || :
}

# What is unpacked goes in any case; if nothing else was done, nothing is left.
clean_up() {
    rm -rf "$work"
    tidy
}

uninstall() {
    if [ ! -e "$store" ] && [ -z "$(links)" ]; then
        fail "nothing is installed in $prefix"
    fi
    # Its machine would go on without anybody to stop it.
    if "$prefix/bin/stack-emulator" status >/dev/null 2>&1; then
        fail "an emulator is running; stop it first: stack-emulator stop --all"
    fi
    links | while IFS= read -r link; do rm -f "$link"; done
    rm -rf "$store"
    tidy
    say "Removed Stack Emulator from $prefix."
    data=${STACK_EMULATOR_HOME:-$HOME/.stack/emulator}
    if [ -d "$data" ]; then
        say "Your images and data are still in $data; to remove them too: rm -r '$data'"
    fi
}

install() {
    base=${STACK_EMULATOR_DOWNLOADS:-}
    if [ -z "$base" ]; then
        repository=${STACK_EMULATOR_REPOSITORY:-$repository}
        if [ -z "$repository" ]; then
            fail "set STACK_EMULATOR_REPOSITORY to the GitHub repository of the releases, as owner/name"
        fi
        base=https://github.com/$repository/releases
    fi
    case $base in
    https://*) protocols='=https' ;;
    http://127.0.0.1:* | http://localhost:*) protocols='=http' ;;
    *) fail "$base is not a secure address; it has to begin with https://" ;;
    esac
    if [ -n "$version" ]; then
        base=$base/download/v$version
    else
        base=$base/latest/download
    fi
    find_target
    check_place "$prefix/bin/stack-emulator"
    check_place "$prefix/share/man/man1/stack-emulator.1"
    for file in $completions; do check_place "$prefix/share/$file"; done

    mkdir -p "$store"
    # What an interrupted run left.
    rm -rf "$store"/.incoming-*
    work=$store/.incoming-$$
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir "$work"

    download "$base/SHA256SUMS" "$work/SHA256SUMS"
    entry=$(grep -E "^[0-9a-f]{64}  stack-emulator-[0-9A-Za-z.+-]+-$target\.tar\.gz$" "$work/SHA256SUMS" || :)
    if [ "$(printf '%s\n' "$entry" | grep -c .)" != 1 ]; then
        fail "the release has no file for this system ($target); see $base/SHA256SUMS"
    fi
    expected=${entry%% *}
    tarball=${entry##* }
    found=${tarball#stack-emulator-}
    found=${found%-"$target".tar.gz}
    say "Downloading Stack Emulator $found for $target ..."
    download "$base/$tarball" "$work/$tarball"
    actual=$(digest_of "$work/$tarball")
    if [ "$actual" != "$expected" ]; then
        fail "$tarball has another SHA-256 digest ($actual) than SHA256SUMS states ($expected); nothing was installed"
    fi
    tar -xzf "$work/$tarball" -C "$work" || fail "cannot unpack $tarball"
    unpacked=$work/${tarball%.tar.gz}
    "$unpacked/bin/stack-emulator" --version >/dev/null ||
        fail "the program does not run on this system; nothing was installed"

    # The digest makes another build of the same version another folder.
    release=$store/$found-$(printf %.12s "$expected")
    if [ ! -d "$release" ]; then
        mv "$unpacked" "$release"
    fi
    for page in "$release"/share/man/man1/*.1; do
        link "$page" "$prefix/share/man/man1/${page##*/}"
    done
    for file in $completions; do
        link "$release/share/$file" "$prefix/share/$file"
    done
    link "$release/bin/stack-emulator" "$prefix/bin/stack-emulator"

    # From here on it is installed. Releases of before go, and links to what they alone had.
    for old in "$store"/*; do
        if [ "$old" != "$release" ]; then rm -rf "$old"; fi
    done
    links | while IFS= read -r link; do
        case $link in
        *.new-*) rm -f "$link" ;;
        *) [ -e "$link" ] || rm -f "$link" ;;
        esac
    done

    say "Installed Stack Emulator $found:"
    say "  program       $prefix/bin/stack-emulator"
    say "  manual pages  $prefix/share/man/man1"
    say "  completions   $prefix/share (bash, zsh, fish)"
    say "  files         $release"
    case ":$PATH:" in
    *":$prefix/bin:"*) ;;
    *) say "$prefix/bin is not in your PATH. Add it: export PATH=\"$prefix/bin:\$PATH\"" ;;
    esac
    case ${SHELL:-} in
    */zsh) say "For completions in zsh, add this to ~/.zshrc before compinit: fpath+=('$prefix/share/zsh/site-functions')" ;;
    esac
    say "Check this computer with: stack-emulator doctor"
    say "To undo this: sh install.sh --uninstall, or without this file:"
    say "  rm -r '$store' && rm '$prefix/bin/stack-emulator'"
}

action=install
while [ $# -gt 0 ]; do
    case $1 in
    --version)
        [ $# -ge 2 ] || fail "--version needs a version, such as 0.1.0"
        version=${2#v}
        shift
        ;;
    --uninstall) action=uninstall ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        fail "there is no option $1"
        ;;
    esac
    shift
done
case $version in
*[!0-9A-Za-z.+-]*) fail "$version is not a version, such as 0.1.0" ;;
esac
prefix=${STACK_EMULATOR_PREFIX:-${HOME:?is not set}/.local}
case $prefix in
/*) ;;
*) fail "STACK_EMULATOR_PREFIX has to be an absolute path; it is $prefix" ;;
esac
# Every release in a folder of its own.
store=$prefix/lib/stack-emulator
$action
