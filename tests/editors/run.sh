#!/usr/bin/env bash
# The tests of each editor's plug-in, in the real editor with the daemon $FIMD, one after the other.
# An editor that is not there is skipped, and said. Not part of `make test`: see tests/README.md.
set -u
cd "$(dirname "$0")"
failed=0
for editor in */; do
  echo "== ${editor%/}"
  "./${editor}run.sh"
  status=$?
  case $status in
    0) echo "ok: ${editor%/}" ;;
    77) echo "skipped: ${editor%/}" ;;
    *) echo "FAILED: ${editor%/}"; failed=1 ;;
  esac
done
exit $failed
