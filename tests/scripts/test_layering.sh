#!/usr/bin/env bash
# The walls of the house: lsp > completion > engine > kernels, and grammars under completion.
# No include runs upwards, each folder's private headers stay inside it, no source file is over
# 1,000 lines, and only lsp/main.c ends the process.
set -u
cd "$(dirname "$0")/../.."
bad=0
say() { echo "$1"; bad=$((bad + 1)); }

# What a folder may include of others: their public header, of those below it.
allowed() { # folder other
  case "$1:$2" in
    lsp:completion | lsp:engine | lsp:grammars) return 0 ;;
    completion:engine | completion:grammars) return 0 ;;
    engine:kernels) return 0 ;;
    *) return 1 ;;
  esac
}

files=0
while IFS= read -r file; do
  files=$((files + 1))
  folder=${file%%/*}
  lines=$(wc -l <"$file")
  [ "$lines" -le 1000 ] || say "$file has $lines lines, more than 1000"
  while IFS=: read -r number include; do
    target=$(printf '%s' "$include" | sed -E 's/^[[:space:]]*#[[:space:]]*include[[:space:]]+"([^"]*)".*/\1/')
    case "$target" in
      lsp/* | completion/* | engine/* | kernels/* | grammars/* | editors/* | tests/*) ;;
      *)
        # A name without a folder is one beside the file, or not ours.
        [ -f "$(dirname "$file")/$target" ] || say "$file:$number: \"$target\" is none of our headers"
        case "$target" in *..*) say "$file:$number: \"$target\" climbs out of its folder" ;; esac
        continue ;;
    esac
    other=${target%%/*}
    [ -f "$target" ] || say "$file:$number: there is no $target"
    [ "$other" = "$folder" ] && continue
    allowed "$folder" "$other" || say "$file:$number: $folder may not include $target"
    [ "$target" = "$other/$other.h" ] || say "$file:$number: $target is private to $other/"
  done < <(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' "$file")
  # Not our own names that end so (cJSON_exit, my_abort), not members, not comments.
  if [ "$file" != lsp/main.c ]; then
    while IFS= read -r hit; do
      say "$file:$hit: only main ends the process"
    done < <(sed -E 's://.*::; s:/\*.*\*/::; /^[[:space:]]*(\*|\/\*)/d; s/"[^"]*"//g' "$file" |
      grep -nE '(^|[^A-Za-z0-9_.>])(exit|_exit|_Exit|quick_exit|abort|assert)[[:space:]]*\(')
  fi
done < <(find lsp completion engine kernels grammars -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sort)

# The test itself must be able to fail.
[ "$files" -ge 20 ] || say "only $files source files were found"
allowed kernels engine && say "the rule lets kernels include engine"
allowed lsp completion || say "the rule does not let lsp include completion"

# JSON-RPC, tree-sitter and libuv stay in their rooms.
room() { # pattern what folders...
  local pattern=$1 what=$2 hit
  shift 2
  while IFS= read -r hit; do
    local ok=
    for folder in "$@"; do [ "${hit%%/*}" = "$folder" ] && ok=1; done
    [ -n "$ok" ] || say "$hit: $what belongs in: $*"
  done < <(grep -rnE "$pattern" --include='*.[ch]' lsp completion engine kernels grammars 2>/dev/null)
}
room '^[[:space:]]*#[[:space:]]*include[[:space:]]*<uv\.h>' libuv lsp
room '^[[:space:]]*#[[:space:]]*include[[:space:]]*<tree_sitter/' tree-sitter completion grammars
room '^[[:space:]]*#[[:space:]]*include[[:space:]]*<cjson/' cJSON lsp engine

echo "$files files, $bad findings"
[ "$bad" -eq 0 ]
