#!/usr/bin/env bash
# The checks of includes refuse what they are there to refuse, and nothing else: include_direction.awk
# and program_includes.awk on files made up for it.
set -euo pipefail
checks=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
status=0

# try CHECK allowed|refused FILE INCLUDED: the file has this one include.
try() {
    local verdict=allowed files=("$3")
    [ "$1" != program_includes ] || files=(ito.h "$3")
    printf '#include "%s"\n' tensor/base.h tensor/io/image.h models/ddpm/diffusion.h >ito.h
    mkdir -p "$(dirname "$3")"
    printf '/* A file. */\n#include %s\n' "$4" >"$3"
    awk -f "$checks/$1.awk" "${files[@]}" >said || verdict=refused
    if [ $verdict != "$2" ] || { [ $verdict = refused ] && ! grep -q "^$3:2: " said; }; then
        echo "$1.awk: #include $4 in $3 is $verdict: $(cat said)" >&2
        status=1
    fi
}

direction() { try include_direction "$@"; }
direction allowed autograd/op.c '"tensor/internal.h"'
direction allowed nn/optim.h '"../autograd/autograd.h"'
direction refused tensor/copy.c '"autograd/op.h"'
direction refused autograd/graph.c '"../nn/module.h"'
direction refused nn/optim.c '"models/ddpm/diffusion.h"'
direction refused models/ddpm/train.c '"examples/common/options.h"'
direction allowed models/ddpm/train.c '<stdio.h>'
direction refused nn/optim.c '"tensor/../models/x.h"'
direction allowed tests/nn/test_optim.c '"ito.h"'
direction refused nn/optim.c '"ito.h"'
direction refused nn/optim.c '"renamed.h"'
direction allowed ito.h '"renamed.h"'
direction allowed ito.h '"models/ddpm/edit/edit.h"'
# folders of a part
direction allowed tensor/gemm/gemm.c '"tensor/internal.h"'
direction allowed tensor/conv/conv.c '"tensor/gemm/gemm.h"'
direction allowed tensor/gemm.c '"kernels/kernels.h"'
direction allowed tensor/io/npy.c '"tensor/internal.h"'
direction refused tensor/copy.c '"io/npy.h"'
direction refused tensor/gemm/gemm.c '"tensor/io/npy.h"'
direction allowed autograd/ops/unary.c '"autograd/op.h"'
direction refused autograd/op.c '"ops/unary.h"'
direction allowed models/ddpm/sampler/ddim.c '"run.h"'
direction allowed models/ddpm/sampler/ddim.c '"models/ddpm/process/process.h"'
direction allowed models/ddpm/sampler/ddim.c '"../network/network.h"'
direction allowed models/ddpm/diffusion.h '"process/process.h"'
direction allowed models/ddpm/process/process.c '"models/ddpm/choices.h"'
direction refused models/ddpm/process/process.h '"../sampler/sampler.h"'
direction refused models/ddpm/process/process.c '"models/ddpm/network/unet.h"'
direction allowed models/ddpm/compress/codec.c '"models/ddpm/likelihood/bound.h"'
direction allowed models/ddpm/edit/edit.c '"models/ddpm/sampler/run.h"'
direction refused models/ddpm/likelihood/bound.c '"models/ddpm/compress/codec.h"'
direction refused models/ddpm/sampler/run.c '"../edit/edit.h"'
direction allowed models/ddpm/edit/edit.c '"nn/module.h"'
direction refused models/ddpm/train.c '"models/metrics/metrics.h"'
direction refused models/classifier/run.c '"../ddpm/diffusion.h"'

program() { try program_includes "$@"; }
program allowed examples/ddpm/main.c '<ito/ito.h>'
program allowed examples/ddpm/data.c '<ito/tensor/io/image.h>'
program allowed examples/ddpm/data.c '<zlib.h>'
program allowed examples/ddpm/data.c '<sys/stat.h>'
program allowed examples/ddpm/data.c '"data.h"'
program allowed examples/ddpm/model.c '"made_by_the_build.h"'
program allowed examples/ddpm/commands/train.c '"examples/ddpm/data.h"'
program allowed examples/ddpm/commands/train.c '"../data.h"'
program allowed examples/toy/main.c '"examples/common/options.h"'
program allowed examples/classifier/main.c '"../common/options.h"'
program allowed examples/common/chart.c '<ito/tensor/io/image.h>'
program allowed examples/common/chart.c '"chart.h"'
program refused examples/ddpm/data.c '<ito/tensor/internal.h>'
program refused examples/ddpm/data.c '<tensor/base.h>'
program refused examples/ddpm/data.c '<ito/../tensor/internal.h>'
program refused examples/ddpm/data.c '"tensor/base.h"'
program refused examples/ddpm/data.c '"ito.h"'
program refused examples/ddpm/data.c '"../../tensor/internal.h"'
program refused examples/ddpm/data.c '"tests/nn/nn_check.h"'
program refused examples/classifier/main.c '"examples/ddpm/data.h"'
program refused examples/toy/main.c '"../classifier/data.h"'
program refused examples/common/options.c '"examples/ddpm/data.h"'
program refused examples/common/options.c '<ito/models/ddpm/diffusion.h>'
program refused examples/common/options.c '<ito/ito.h>'
exit $status
