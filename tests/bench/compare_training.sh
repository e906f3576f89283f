#!/bin/sh
# Compares training in Ito and in PyTorch: the same recipe, the same number of steps, each with random numbers of its
# own, judged by the same program. First a few steps on the same numbers have to agree in f64 (peer_training.py).
# Prints a Markdown table of mean (deviation) over the seeds: the loss over the last tenth of the steps, and of the
# averaged weights the bits per dimension of held-out images and the distances of samples from the training set.
# Runs and figures that are there already are not made again.
#     compare_training.sh DIRECTORY [STEPS [IMAGES]]
# Environment: ITO_DDPM the program; ITO_TRAINING_STEPS tests/training_steps of a build; ITO_PYTHON a Python with
# PyTorch, NumPy and safetensors; DATA a directory of IDX files; SEEDS; THREADS.
set -eu
out=$1
steps=${2:-800}
images=${3:-2000}
program=${ITO_DDPM:-build/examples/ito-ddpm}
python=${ITO_PYTHON:-python3}
peer=$(dirname "$0")/peer_training.py
data=${DATA:-/usr/share/datasets/fashion-mnist}
seeds=${SEEDS:-0 1 2}
threads=${THREADS:-1}
mkdir -p "$out"

train() { # SIDE SEED
    run=$out/$1-$2
    [ -e "$run/model.safetensors" ] && return
    if [ "$1" = torch ]; then
        "$python" "$peer" train "$data" "$run" --steps "$steps" --seed "$2" --threads "$threads"
        return
    fi
    rm -rf "$run"
    "$program" train --data "mnist:$data" --flip no --prediction v --steps "$steps" --seed "$2" --threads "$threads" \
        --sample-every 0 --out "$run" 2>"$run.txt" </dev/null
    "$program" export --model "$run" --dtype f32 --out "$run/model.safetensors" 2>>"$run.txt"
}

judge() { # SIDE SEED: the JSON of `ito-ddpm eval`. The first one keeps the features of the real images.
    run=$out/$1-$2
    [ -e "$run.frechet.json" ] && [ -e "$run.bits.json" ] && return
    real="--against $out/real.npy"
    [ -e "$out/real.npy" ] || real="--data mnist:$data --save-against $out/real.npy"
    # shellcheck disable=SC2086
    "$program" eval --model "$run/model.safetensors" $real --frechet --kid --sampler dpm++2m-sde --steps 10 \
        --n "$images" --precision bf16 --threads "$threads" --json >"$run.new" 2>/dev/null
    mv "$run.new" "$run.frechet.json"
    "$program" eval --model "$run/model.safetensors" --data "mnist:$data" --split test --bits-per-dim --monte-carlo 8 \
        --n 512 --threads "$threads" --json >"$run.new" 2>/dev/null
    mv "$run.new" "$run.bits.json"
}

# The mean loss over the last tenth of a run's steps.
loss_of() {
    awk -F'[:,]' '{ loss[NR] = $4 }
        END { first = NR - int(NR / 10) + 1
              for (i = first; i <= NR; i++) sum += loss[i]
              printf "%.6f\n", sum / (NR - first + 1) }' "$out/$1/log.jsonl"
}

number() { # FILE KEY
    sed -n "s/.*\"$2\": *\([-0-9.e]*\).*/\1/p" "$1"
}

# "mean (deviation)" of the numbers on stdin
summary() {
    awk -v format="$1" '{ x[NR] = $1; sum += $1 }
        END { mean = sum / NR
              for (i = 1; i <= NR; i++) squares += (x[i] - mean) ^ 2
              printf format " (" format ")", mean, NR > 1 ? sqrt(squares / (NR - 1)) : 0 }'
}

"$python" "$peer" check "$data" "${ITO_TRAINING_STEPS:-build/tests/training_steps}"
for seed in $seeds; do
    for side in ito torch; do
        train $side "$seed"
        judge $side "$seed"
    done
done
echo
echo "| | loss, last tenth of $steps steps | bits/dim of 512 held-out images | Frechet distance of $images images | KID |"
echo "| --- | --- | --- | --- | --- |"
for side in ito torch; do
    losses=$(for seed in $seeds; do loss_of $side-"$seed"; done | summary %.4f)
    bits=$(for seed in $seeds; do number "$out/$side-$seed.bits.json" bits_per_dim; done | summary %.3f)
    frechet=$(for seed in $seeds; do number "$out/$side-$seed.frechet.json" frechet; done | summary %.2f)
    kid=$(for seed in $seeds; do number "$out/$side-$seed.frechet.json" kid; done | summary %.2f)
    [ $side = ito ] && name=Ito || name=PyTorch
    echo "| $name | $losses | $bits | $frechet | $kid |"
done
