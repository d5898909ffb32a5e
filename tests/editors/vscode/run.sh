#!/usr/bin/env bash
# Every test of the extension in the workbench that install.sh has put there, with the vsix that
# `make vsix` has built and the daemon $FIMD; or those that are named. 77: something is missing.
set -u
cd "$(dirname "$0")"
failed=0 skipped=0
[ $# -gt 0 ] || set -- newcomer ghost typing controls folders streaming daemon second_server pyright
for name; do
  echo "-- $name"
  node "test_$name.mjs"
  case $? in
    0) ;;
    77) skipped=77 ;;
    *) failed=1 ;;
  esac
done
[ "$failed" = 0 ] && exit $skipped
exit 1
