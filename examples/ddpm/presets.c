/* Presets of `ito-ddpm train`. A value is written as on the command line and takes the place of the
 * default in train_options.def, which is that of the first one. */
#include "examples/ddpm/presets.h"

#include <stddef.h>

static const option_preset small = {
    {"small", "1.6 million parameters: an hour of two cores makes good 28x28 images", NULL},
    (const char *const[][2]){{NULL}}};

static const option_preset cifar10 = {
    {"cifar10", "36 million parameters, the paper's for 32x32 images", "Ho et al. 2020"},
    (const char *const[][2]){{"steps", "800000"},
                             {"sample-every", "5000"},
                             {"schedule", "linear"},
                             {"variance", "fixedlarge"},
                             {"batch", "128"},
                             {"lr", "2e-4"},
                             {"warmup", "5000"},
                             {"decay", "constant"},
                             {"ema", "0.9999"},
                             {NULL}}};

static const option_preset lsun256 = {
    {"lsun256", "114 million parameters, the paper's for 256x256 images", "Ho et al. 2020"},
    (const char *const[][2]){{"size", "256"},
                             {"steps", "800000"},
                             {"sample-every", "5000"},
                             {"schedule", "linear"},
                             {"variance", "fixedlarge"},
                             {"batch", "64"},
                             {"lr", "2e-5"},
                             {"warmup", "5000"},
                             {"decay", "constant"},
                             {"ema", "0.9999"},
                             {NULL}}};

const ito_choice *const presets[] = {&small.choice, &cifar10.choice, &lsun256.choice, NULL};

const option_preset *preset_find(const char *name)
{
    return (const option_preset *)choices_find(&(choice_list){.own = presets}, name);
}
