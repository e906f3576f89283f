#!/bin/sh
# Compares optimisers on a data set: the same steps, batches and noise for all; the learning rate of
# each is chosen among a few by a run of its own. Prints a Markdown table of the loss in training,
# averaged over the last tenth of the steps, and of the bits per dimension of held-out images with the
# averaged weights: mean and range over the seeds. Runs that are there already are not made again.
#     compare_optimizers.sh DIRECTORY [STEPS [TUNING_STEPS]]
# Environment: ITO_DDPM the program; DATA what to learn; SEEDS; ARGUMENTS more for `ito-ddpm train`;
# OPTIMIZERS lines of a name and the learning rates to try.
set -eu
out=$1
steps=${2:-3500}
tuning=${3:-$((steps / 5))}
program=${ITO_DDPM:-build/examples/ito-ddpm}
data=${DATA:-fashion-mnist}
mkdir -p "$out"

# Factors of three around what is usual for each.
optimizers=${OPTIMIZERS:-adamw 3e-4 1e-3 3e-3
muon 1e-3 3e-3 1e-2
soap 1e-3 3e-3 1e-2
schedule_free_adamw 1e-3 3e-3 1e-2}

# train RUN OPTIMISER RATE SEED STEPS
train() {
    [ -e "$1/done" ] && return
    rm -rf "$1"
    # shellcheck disable=SC2086
    "$program" train --data "$data" --out "$1" --optimizer "$2" --lr "$3" --seed "$4" --steps "$5" \
        --sample-every 0 ${ARGUMENTS:-} 2>"$1.txt" </dev/null || return 0 # it diverged: its loss is not finite
    touch "$1/done"
}

# The mean loss over the last tenth of a run's steps; inf if it did not end.
loss_of() {
    [ -e "$1/done" ] || { echo inf; return; }
    awk -F'[:,]' '{ loss[NR] = $4 }
        END { first = NR - int(NR / 10) + 1
              for (i = first; i <= NR; i++) sum += loss[i]
              printf "%.6f\n", sum / (NR - first + 1) }' "$1/log.jsonl"
}

bits_of() {
    "$program" eval --model "$1" --data "$data" --split test --bits-per-dim --monte-carlo 8 --n 512 --json |
        sed -n 's/.*"bits_per_dim": *\([0-9.]*\).*/\1/p'
}

# "mean (least to most)" of the numbers on stdin
summary() {
    sort -g | awk '{ x[NR] = $1; sum += $1 } END { printf "%.5f (%.5f to %.5f)", sum / NR, x[1], x[NR] }'
}

echo "| optimiser | learning rate | loss, last tenth of $steps steps | bits/dim, held-out |"
echo "| --- | --- | --- | --- |"
echo "$optimizers" | while read -r name rates; do
    best=inf
    for rate in $rates; do
        train "$out/tune-$name-$rate" "$name" "$rate" 100 "$tuning"
        loss=$(loss_of "$out/tune-$name-$rate")
        if [ "$best" = inf ] || [ "$(printf '%s\n%s\n' "$loss" "$best" | sort -g | head -1)" = "$loss" ]; then
            best=$loss
            chosen=$rate
        fi
    done
    for seed in ${SEEDS:-0 1 2}; do
        train "$out/$name-$seed" "$name" "$chosen" "$seed" "$steps"
    done
    losses=$(for seed in ${SEEDS:-0 1 2}; do loss_of "$out/$name-$seed"; done | summary)
    bits=$(for seed in ${SEEDS:-0 1 2}; do bits_of "$out/$name-$seed"; done | summary)
    echo "| $name | $chosen | $losses | $bits |"
done
