#!/bin/sh
# Installs from Debian 12 what building needs, the packages of packages.txt: ./get.sh, or ./get.sh test for the tests as well.
set -e
cd "$(dirname "$0")"
case "${1:-}" in
  "" | test) ;;
  *) echo "get.sh: expected nothing or test, got $1" >&2; exit 2 ;;
esac
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update
packages=$(sed -e 's/#.*//' -e '/^test:/d' packages.txt)
[ "${1:-}" != test ] || packages="$packages $(sed -n 's/^test: *//p' packages.txt)"
# The list's words are the packages.
# shellcheck disable=SC2086
$as_root apt-get install -y --no-install-recommends $packages
