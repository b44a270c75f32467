#!/usr/bin/env bash
# Installs from the source tree what the Debian packages install, for systems without dpkg.
set -euo pipefail

usage() {
    cat <<'TEXT'
ops/install.sh: installs the store from the source tree

  ops/install.sh [--destdir DIR] [--debug]
  ops/install.sh --uninstall [--destdir DIR]

Builds the programs and installs them with units, the services' user, manual pages, completions and settings
to where the packages put them. Settings that are there already are kept. Starts nothing; an upgrade is
finished by `systemctl daemon-reload` and a restart of the units. --uninstall removes all of it but settings
and data.

  --destdir DIR   install below DIR instead, and make no user
  --debug         install the debug programs: quicker to build, slower to run

Needs root, but for --destdir, and Rust. Build as who you are, then `sudo ops/install.sh`, if root has no Rust.
TEXT
}

destdir=
profile=release
uninstall=
while (($# > 0)); do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --destdir)
            destdir=$(realpath -m -- "${2:?--destdir takes a folder}")
            shift 2
            ;;
        --debug)
            profile=debug
            shift
            ;;
        --uninstall)
            uninstall=yes
            shift
            ;;
        *)
            echo "install: '$1' is not known; see ops/install.sh --help" >&2
            exit 2
            ;;
    esac
done
[[ -n $destdir ]] || ((EUID == 0)) || {
    echo "install: only root can install into the system; --destdir DIR installs elsewhere" >&2
    exit 1
}

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
programs=(coordinator kvnode kvclient)

if [[ -n $uninstall ]]; then
    if [[ -z $destdir && -d /run/systemd/system ]]; then
        systemctl disable --now kv.target kv-coordinator.service 'kvnode@*.service' || true
    fi
    for program in "${programs[@]}"; do
        rm -f -- "$destdir/usr/bin/$program" "$destdir/usr/share/man/man1/$program".1.gz \
            "$destdir/usr/share/man/man1/$program"-*.1.gz \
            "$destdir/usr/share/bash-completion/completions/$program" \
            "$destdir/usr/share/zsh/vendor-completions/_$program" \
            "$destdir/usr/share/fish/vendor_completions.d/$program.fish"
    done
    rm -f -- "$destdir"/usr/lib/systemd/system/{kv-coordinator.service,kvnode@.service,kv.target} \
        "$destdir/usr/lib/sysusers.d/kv.conf"
    echo "install: removed; settings are left in $destdir/etc/kv, data in $destdir/var/lib/kv"
    exit
fi

if command -v cargo >/dev/null; then
    flags=(--locked -p coordinator -p kvnode -p kvclient)
    [[ $profile == release ]] && flags+=(--release)
    cargo build "${flags[@]}"
    target=$(cargo metadata --locked --format-version 1 --no-deps |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
else
    target=${CARGO_TARGET_DIR:-target}
fi
built=$target/$profile
[[ -x $built/kvnode ]] || {
    echo "install: there is no Rust here and $built holds no programs; cargo build --release first" >&2
    exit 1
}

documents=$(mktemp -d)
trap 'rm -rf -- "$documents"' EXIT
for program in "${programs[@]}"; do
    install -D -m 755 "$built/$program" "$destdir/usr/bin/$program"
    "$built/$program" --write-documents "$documents"
    install -D -m 644 "$documents/$program.bash" "$destdir/usr/share/bash-completion/completions/$program"
    install -D -m 644 "$documents/_$program" "$destdir/usr/share/zsh/vendor-completions/_$program"
    install -D -m 644 "$documents/$program.fish" "$destdir/usr/share/fish/vendor_completions.d/$program.fish"
done
gzip -9n "$documents"/*.1
install -d "$destdir/usr/share/man/man1"
install -m 644 "$documents"/*.1.gz "$destdir/usr/share/man/man1"
install -d "$destdir"/usr/lib/{systemd/system,sysusers.d} "$destdir/etc/kv"
install -m 644 ops/systemd/*.service ops/systemd/*.target "$destdir/usr/lib/systemd/system"
install -m 644 ops/systemd/sysusers.d/kv.conf "$destdir/usr/lib/sysusers.d"
for file in ops/systemd/config/*.toml; do
    settings=$destdir/etc/kv/$(basename "$file")
    if [[ -e $settings ]]; then
        echo "install: $settings is kept"
    else
        install -m 644 "$file" "$settings"
    fi
done
if [[ -z $destdir ]]; then
    systemd-sysusers kv.conf
    [[ ! -d /run/systemd/system ]] || systemctl daemon-reload
fi
echo "install: done; put the addresses into $destdir/etc/kv, then systemctl enable --now kv-coordinator kvnode@node-1"
