#!/bin/sh
# Compares samplers at equal numbers of evaluations of the network, each with its usual spacing: the Frechet
# distance and the kernel distance (KID) of samples from the training set. Prints two Markdown
# tables of mean (deviation) over the seeds. Figures that are there already are not made again.
#     compare_samplers.sh DIRECTORY [IMAGES]
# Environment: ITO_DDPM the program; MODEL a run; DATA its data; SEEDS; EVALUATIONS; SAMPLERS; ARGUMENTS more for
# `ito-ddpm eval`.
set -eu
out=$1
images=${2:-10000}
program=${ITO_DDPM:-build/examples/ito-ddpm}
evaluations=${EVALUATIONS:-5 10 20 50}
seeds=${SEEDS:-0 1 2}
samplers=${SAMPLERS:-ddpm ddim euler-a heun lms deis deis3 pndm plms dpm++1s dpm++2s dpm++2m dpm++3m dpm++2m-sde
unipc unipc3}
mkdir -p "$out"

# The steps of a sampler that evaluates the network N times: heun twice in all but the last step, pndm four times
# in each of three steps, plms twice in one, where they do not begin with Euler's step. Nothing if there is none.
steps_of() {
    case $1 in
    heun) echo $((($2 + 1) / 2)) ;;
    pndm) if [ "$2" -ge 14 ]; then echo $(($2 - 9)); fi ;;
    plms) echo $(($2 - 1)) ;;
    *) echo "$2" ;;
    esac
}

# A cell: the JSON of `ito-ddpm eval`. The first one keeps the features of the real images for the others.
judge() {
    [ -e "$4" ] && return
    real="--against $out/real.npy"
    [ -e "$out/real.npy" ] || real="--data ${DATA:-fashion-mnist} --save-against $out/real.npy"
    # shellcheck disable=SC2086
    "$program" eval --model "${MODEL:-fashion-mnist}" --class all --sampler "$1" --steps "$2" --seed "$3" --n "$images" \
        $real --frechet --kid --json ${ARGUMENTS:-} >"$4.new" 2>/dev/null
    mv "$4.new" "$4"
}

# "mean (deviation)" of $key in the files
summary() {
    sed -n "s/.*\"$key\": *\([-0-9.e]*\).*/\1/p" "$@" | awk '{ sum += $1; squares += $1 * $1 }
          END { mean = sum / NR; deviation = NR > 1 ? (squares - NR * mean * mean) / (NR - 1) : 0
              printf "%.2f (%.2f)", mean, sqrt(deviation > 0 ? deviation : 0) }'
}

table() {
    printf '| sampler |'
    # shellcheck disable=SC2086
    printf ' %s |' $evaluations
    printf '\n| --- |'
    # shellcheck disable=SC2086
    printf ' --- |%.0s' $evaluations
    for sampler in $samplers; do
        printf '\n| %s |' "$sampler"
        for n in $evaluations; do
            set --
            for seed in $seeds; do
                [ -e "$out/$sampler-$n-$seed.json" ] && set -- "$@" "$out/$sampler-$n-$seed.json"
            done
            [ $# -eq 0 ] && printf ' |' || printf ' %s |' "$(summary "$@")"
        done
    done
    echo
}

for seed in $seeds; do
    for n in $evaluations; do
        for sampler in $samplers; do
            steps=$(steps_of "$sampler" "$n")
            [ -z "$steps" ] || judge "$sampler" "$steps" "$seed" "$out/$sampler-$n-$seed.json"
        done
    done
done
echo "Frechet distance of $images images:"
key=frechet
table
echo "Kernel distance:"
key=kid
table
