# SPDX-License-Identifier: BSD-3-Clause
# What the scripts share: sourced, never run. Sets `root`, the top of the tree, whatever folder the caller is in.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
me=$(basename "$0")

say() { printf '%s\n' "[$me] $*" >&2; }
die() { say "$*"; exit 1; }
need_root() { [[ $(id -u) == 0 ]] || die "needs root (network namespaces and raw sockets): sudo $0"; }
