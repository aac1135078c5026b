#!/usr/bin/env bash
# Installs what the build needs and is not there yet: system packages by apt or
# Homebrew, MLX and the linters in .venv, Rust. Says what it installs; when nothing is
# to do it returns at once. `make` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."

APT_PACKAGES=(
  ca-certificates curl g++ cmake ninja-build pkg-config python3 python3-venv
  libcli11-dev libyaml-cpp-dev nlohmann-json3-dev libcurl4-openssl-dev libsqlite3-dev
  libspdlog-dev libssl-dev libgtest-dev libbenchmark-dev libre2-dev libseccomp-dev
  bubblewrap)
BREW_PACKAGES=(
  cmake ninja pkg-config python3 cli11 yaml-cpp nlohmann-json spdlog curl sqlite openssl@3
  googletest re2)

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }

# What has been done is remembered by the content of what asks for it.
stamp() {
  local sum
  sum=$(cat scripts/setup.sh requirements.txt rust/Cargo.toml 2>/dev/null | cksum)
  echo "build/setup-${sum%% *}"
}

mlx_is_here() { compgen -G '.venv/lib/python3*/site-packages/mlx/include/mlx/mlx.h' >/dev/null; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; return; fi
  command -v sudo >/dev/null || die "installing packages needs root or sudo: $*"
  sudo "$@"
}

apt_install() {
  say "installing by apt: $*"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

apt_missing() {
  local name
  for name; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q ' installed$' || echo "$name"
  done
}

install_system_packages() {
  local missing
  if command -v apt-get >/dev/null; then
    mapfile -t missing < <(apt_missing "${APT_PACKAGES[@]}")
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
  elif command -v brew >/dev/null; then
    missing=$(comm -23 <(printf '%s\n' "${BREW_PACKAGES[@]}" | sort) <(brew list --formula -1 | sort))
    # shellcheck disable=SC2086
    [ -z "$missing" ] || { say "installing by Homebrew:" $missing; brew install --quiet $missing; }
  else
    say "neither apt nor Homebrew here: expecting the packages of scripts/setup.sh in place"
  fi
}

# A link named .venv to an environment elsewhere is used as it is.
install_python_packages() {
  if [ ! -x .venv/bin/python ]; then
    say "creating .venv"
    python3 -m venv .venv || die "python3 -m venv failed"
  fi
  say "checking .venv against requirements.txt (MLX, clang-format, clang-tidy)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
}

# at_least VERSION MINIMUM
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -1)" = "$2" ]; }

wanted_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' rust/Cargo.toml; }

cargo_version() { "$1" --version 2>/dev/null | sed 's/^cargo \([0-9.]*\).*/\1/'; }

have_cargo() {
  local cargo
  for cargo in cargo "$HOME/.cargo/bin/cargo"; do
    command -v "$cargo" >/dev/null || continue
    at_least "$(cargo_version "$cargo")" "$1" && return 0
  done
  return 1
}

apt_candidate() {
  command -v apt-cache >/dev/null || return 0
  apt-cache policy "$1" | sed -n 's/^  Candidate: \([0-9][0-9.]*\).*/\1/p'
}

install_rust() {
  local want web
  want=$(wanted_rust)
  have_cargo "$want" && return
  at_least "$(apt_candidate cargo)" "$want" && apt_install cargo rustc
  have_cargo "$want" && return
  web=$(apt_candidate cargo-web)  # Debian's backport for its browsers
  [ -n "$web" ] && at_least "$web" "$want" && apt_install cargo-web rustc-web
  have_cargo "$want" && return
  install_rustup "$want"
  have_cargo "$want" || die "no cargo $want or newer: see https://rustup.rs"
}

install_rustup() {
  if ! command -v rustup >/dev/null && [ -n "$(apt_candidate rustup)" ]; then
    apt_install rustup
  fi
  if command -v rustup >/dev/null; then
    say "installing Rust by rustup (at least $1)"
    rustup --quiet toolchain install stable --profile minimal
    rustup --quiet default stable
  else
    say "installing Rust in ~/.cargo by rustup's installer (at least $1)"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --quiet --profile minimal --no-modify-path
  fi
}

main() {
  local stamp
  stamp=$(stamp)
  if [ -e "$stamp" ] && mlx_is_here; then return; fi
  install_system_packages
  install_python_packages
  install_rust
  mkdir -p build
  rm -f build/setup-*
  touch "$stamp"
  say "done"
}

main
