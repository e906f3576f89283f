/* Steps of training in f64 on weights, images, times and noise that a file gives: Ito's side of
 * `peer_training.py check`. Usage: training_steps IN.safetensors OUT.safetensors
 * IN has the parameters of the small U-Net for 1x28x28, x_0 and eps [S, N, 1, 28, 28], t [S, N] and
 * lr [S]. OUT gets loss [S], and for each parameter gradient.NAME of the first step, and
 * weight.NAME and average.NAME after the last. */
#include "ito.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct training {
    ito_diffusion *diffusion;
    ito_unet *unet;
    ito_optimizer *adam;
    ito_ema *ema;
    ito_named_tensors *parameters;
} training;

typedef struct results {
    int64_t n;
    const char **names;
    ito_tensor **tensors;
} results;

static void need(bool good)
{
    if (!good) {
        fprintf(stderr, "training_steps: %s\n", ito_error());
        exit(1);
    }
}

static training begin(const ito_safetensors *in)
{
    ito_unet_config c = {0};
    need(ito_unet_preset("small", 1, 28, 28, &c) == ITO_OK);
    c.dtype = ITO_F64;
    training s = {.unet = ito_unet_create(&c, NULL),
                  .diffusion = ito_diffusion_create(.schedule = &ito_schedule_cosine,
                                                    .prediction = &ito_prediction_v)};
    need(s.unet != NULL && s.diffusion != NULL);
    s.parameters = ito_module_parameters(&s.unet->base);
    need(s.parameters != NULL);
    for (int64_t i = 0; i < s.parameters->n; i++)
        need(ito_safetensors_read_into(in, s.parameters->names[i], s.parameters->tensors[i]) ==
             ITO_OK);
    s.adam = ito_adam_create(&s.unet->base);
    s.ema = ito_ema_create(&s.unet->base, .decay = 0.999, .warmup = true);
    need(s.adam != NULL && s.ema != NULL);
    return s;
}

/* Copies of tensors under their names with a prefix; NULL: the parameters' gradients. */
static void put(results *r, const training *s, const char *prefix, ito_tensor *const *tensors)
{
    for (int64_t i = 0; i < s->parameters->n; i++) {
        char *name = malloc(256);
        need(name != NULL);
        snprintf(name, 256, "%s.%s", prefix, s->parameters->names[i]);
        const ito_tensor *from =
            tensors != NULL ? tensors[i] : ito_grad_of(s->parameters->tensors[i]);
        ito_tensor *copy = ito_keep(ito_clone(ito_detach((ito_tensor *)from)));
        need(copy != NULL);
        r->names[r->n] = name;
        r->tensors[r->n++] = copy;
    }
}

static double step(const training *s, ito_tensor *x_0, ito_tensor *t, ito_tensor *eps, double lr,
                   results *first)
{
    ito_module_zero_grad(&s->unet->base);
    ito_tensor *loss = ito_diffusion_loss(s->diffusion, &s->unet->network, x_0, t, eps);
    need(loss != NULL && ito_backward(loss) == ITO_OK);
    if (first != NULL)
        put(first, s, "gradient", NULL);
    need(ito_optimizer_step(s->adam, lr, .max_norm = 1, .ema = s->ema) == ITO_OK);
    return ito_item(loss);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: training_steps IN.safetensors OUT.safetensors\n");
        return 2;
    }
    ito_scope_begin();
    ito_safetensors *in = ito_safetensors_open(argv[1]);
    need(in != NULL);
    training s = begin(in);
    ito_tensor *x_0 = ito_safetensors_read(in, "x_0"), *eps = ito_safetensors_read(in, "eps"),
               *t = ito_safetensors_read(in, "t"), *lr = ito_safetensors_read(in, "lr");
    need(x_0 != NULL && eps != NULL && t != NULL && lr != NULL);
    int64_t steps = ito_size(lr, 0), most = 3 * s.parameters->n + 1;
    results r = {.names = calloc((size_t)most, sizeof *r.names),
                 .tensors = calloc((size_t)most, sizeof *r.tensors)};
    ito_tensor *losses = ito_zeros(ITO_SHAPE(steps), ITO_F64);
    need(r.names != NULL && r.tensors != NULL && losses != NULL);
    for (int64_t i = 0; i < steps; i++) {
        ito_scope_begin();
        double loss = step(&s, ito_select(x_0, 0, i), ito_select(t, 0, i), ito_select(eps, 0, i),
                           ito_item(ito_select(lr, 0, i)), i == 0 ? &r : NULL);
        need(ito_fill_(ito_select(losses, 0, i), loss) != NULL);
        ito_scope_end();
    }
    r.names[r.n] = "loss";
    r.tensors[r.n++] = losses;
    ito_named_tensors *averages = ito_ema_state(s.ema);
    need(averages != NULL);
    put(&r, &s, "weight", s.parameters->tensors);
    put(&r, &s, "average", averages->tensors);
    need(ito_safetensors_save(argv[2], r.n, r.names, r.tensors, 0, NULL, NULL) == ITO_OK);
    return 0;
}
