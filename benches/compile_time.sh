#!/usr/bin/env bash
# How long the bank takes to compile after one of its handlers was touched, with our attributes (examples/bank) and written
# by hand (benches/bank-by-hand): medians of interleaved rounds, and their ratio. Usage: compile_time.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-9}
crates=(bank bank-by-hand)
files=(examples/bank/src/main.rs benches/bank-by-hand/src/main.rs)
backups=$(mktemp -d)
for at in 0 1; do cp -p "${files[at]}" "$backups/$at"; done
trap 'for at in 0 1; do cp -p "$backups/$at" "${files[at]}"; done; rm -rf "$backups"' EXIT

median() { sort -n "$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

for what in check build; do
    for crate in "${crates[@]}"; do cargo "$what" --quiet -p "$crate"; done
    for ((round = 1; round <= rounds; round++)); do
        # Who comes first changes from round to round.
        for at in $((round % 2)) $(((round + 1) % 2)); do
            # A change inside a function body, on a line of its own that was there: nothing can be skipped, nothing moves.
            sed "/fn open(&self/s/\$/ let _touched = ${round}_u32;/" "$backups/$at" > "${files[at]}"
            begin=$(date +%s%N)
            cargo "$what" --quiet -p "${crates[at]}"
            echo $((($(date +%s%N) - begin) / 1000000)) >> "$backups/$what.$at"
        done
    done
    attributes=$(median "$backups/$what.0")
    by_hand=$(median "$backups/$what.1")
    awk -v what="$what" -v a="$attributes" -v h="$by_hand" \
        'BEGIN { printf "cargo %s after touching a handler: %d ms with attributes, %d ms by hand: %.2f x\n", what, a, h, a / h }'
done
