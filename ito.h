/* Everything public. A program needs no other header:
 *     #include <ito/ito.h>
 * Each part can also be included alone, <ito/autograd/ops.h> for example.
 */
#ifndef ITO_H
#define ITO_H

#include "tensor/base.h"
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

#include "nn/checkpoint.h"
#include "nn/data.h"
#include "nn/ema.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/memory.h"
#include "nn/module.h"
#include "nn/optim.h"
#include "nn/schedule.h"

#include "models/classifier/classifier.h"
#include "models/ddpm/bound.h"
#include "models/ddpm/codec.h"
#include "models/ddpm/condition.h"
#include "models/ddpm/diffusion.h"
#include "models/ddpm/edit.h"
#include "models/ddpm/noise_classifier.h"
#include "models/ddpm/sampler.h"
#include "models/ddpm/schedule.h"
#include "models/ddpm/settings.h"
#include "models/ddpm/steps.h"
#include "models/ddpm/train.h"
#include "models/ddpm/unet.h"
#include "models/metrics/metrics.h"

#endif
