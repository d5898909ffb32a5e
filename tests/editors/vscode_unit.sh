#!/bin/sh
# What of the extension needs no VS Code: it compiles, and its unit tests. 77: something is missing.
cd "$(dirname "$0")/../../editors/vscode" || exit
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' ||
  { echo "skipped: the extension needs node 20, this is $(node --version)"; exit 77; }
[ -d node_modules/typescript ] || { echo "skipped: its npm packages are not there"; exit 77; }
node node_modules/typescript/bin/tsc -p . && exec node --test ../../tests/editors/vscode/unit/*.mjs
