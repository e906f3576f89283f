/* Everything public. A program needs no other header:
 *     #include <ito/ito.h>
 * Each part can also be included alone, <ito/autograd/ops.h> for example. The headers named here
 * are the public ones: the build installs them and no others.
 */
#ifndef ITO_H
#define ITO_H

#include "tensor/base.h"
#include "tensor/options.h"
#include "tensor/random.h"
#include "tensor/runtime.h"
#include "tensor/scope.h"
#include "tensor/tensor.h"

#include "tensor/io/cifar.h"
#include "tensor/io/idx.h"
#include "tensor/io/image.h"
#include "tensor/io/npy.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/whole_file.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "autograd/ops_activation.h"
#include "autograd/ops_at.h"
#include "autograd/ops_attention.h"
#include "autograd/ops_conv.h"
#include "autograd/ops_index.h"
#include "autograd/ops_linalg.h"
#include "autograd/ops_loss.h"
#include "autograd/ops_math.h"
#include "autograd/ops_product.h"
#include "autograd/ops_recurrent.h"
#include "autograd/ops_reduce.h"
#include "autograd/ops_shape.h"
#include "autograd/transforms.h"

#include "nn/checkpoint.h"
#include "nn/data.h"
#include "nn/ema.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/layers_conv.h"
#include "nn/layers_mp.h"
#include "nn/layers_transformer.h"
#include "nn/lr_schedule.h"
#include "nn/memory.h"
#include "nn/module.h"
#include "nn/optim.h"
#include "nn/parametrise.h"
#include "nn/summary.h"

#include "models/classifier/classifier.h"
#include "models/ddpm/choices.h"
#include "models/ddpm/compress/codec.h"
#include "models/ddpm/diffusion.h"
#include "models/ddpm/edit/edit.h"
#include "models/ddpm/likelihood/bound.h"
#include "models/ddpm/network/condition.h"
#include "models/ddpm/network/guidance.h"
#include "models/ddpm/network/network.h"
#include "models/ddpm/network/noise_classifier.h"
#include "models/ddpm/network/self_condition.h"
#include "models/ddpm/network/unet.h"
#include "models/ddpm/objective/objective.h"
#include "models/ddpm/process/process.h"
#include "models/ddpm/process/timestep_sampler.h"
#include "models/ddpm/sampler/sampler.h"
#include "models/ddpm/settings.h"
#include "models/ddpm/train.h"
#include "models/metrics/metrics.h"

#include "renamed.h"

#endif
