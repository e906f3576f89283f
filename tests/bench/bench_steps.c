/* Whole steps of DDPM as rows of the benchmark: train MODEL BATCH, network MODEL BATCH (the U-Net
 * alone), sample MODEL BATCH (a step of the ancestral sampler), optimiser (clip, Adam and averages
 * of the CIFAR-10 U-Net). Models: cifar10, and small, 1x32x32, ch 32, multipliers (1,2,2),
 * attention at 16x16, no dropout. */
#include "tensor/profile.h"
#include "tests/bench/bench.h"

#include <stdlib.h>
#include <string.h>

typedef struct step_state {
    ito_unet *unet;
    ito_diffusion_trainer trainer;
    ito_tensor *x, *t;
    int64_t steps;
    int64_t faults, faults_from; /* steps at which faults were read */
} step_state;

/* ---- the work ---- */

static void run_train(bench_work *w)
{
    step_state *s = w->state;
    ito_train_result result;
    if (ito_diffusion_train_step(&s->trainer, s->x, s->steps++, 2e-4, &result) != ITO_OK)
        bench_need(NULL);
    if (s->steps == 2) { /* from here on nothing is new */
        s->faults = ito_page_faults();
        s->faults_from = s->steps;
    }
}

static void run_network(bench_work *w)
{
    step_state *s = w->state;
    ito_no_grad_begin();
    bench_need(ito_unet_forward(s->unet, s->x, s->t));
    ito_no_grad_end();
}

enum { SAMPLING_STEPS = 2 };

static void run_sample(bench_work *w)
{
    step_state *s = w->state;
    bench_need(ito_diffusion_sample_from(s->trainer.diffusion, s->trainer.network, s->x,
                                         .steps = SAMPLING_STEPS, .seed = 1));
}

static void run_optimiser(bench_work *w)
{
    step_state *s = w->state;
    double norm;
    if (ito_optimizer_step(s->trainer.optimizer, 2e-4, .max_norm = 1, .ema = s->trainer.ema,
                           .grad_norm = &norm) != ITO_OK)
        bench_need(NULL);
}

/* ---- what is told beside the time ---- */

static double process_peak_mib(void)
{
    double kib = 0;
    char line[128];
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "VmHWM: %lf", &kib) == 1)
            break;
    if (f != NULL)
        fclose(f);
    return kib / 1024;
}

/* Kinds of operation, by the beginning of their names; what is not here is element-wise or, without
 * a pass, other. */
static const struct {
    const char *name, *kind;
} kinds[] = {
    {"conv2d", "convolution"}, {"bmm", "products"},       {"linear", "products"},
    {"group_norm", "norms"},   {"softmax", "attention"},  {"scaled_dot", "attention"},
    {"cat", "copies"},         {"slice", "copies"},       {"pad", "copies"},
    {"contiguous", "copies"},  {"upsample", "copies"},    {"avg_pool", "copies"},
    {"cast", "copies"},        {"copies", "copies"},      {"optimiser", "optimiser"},
    {"clip", "optimiser"},     {"averages", "optimiser"}, {"random", "random"},
    {"dropout", "random"},     {"sum", "elementwise"},    {"in place", "elementwise"},
};
static const char *const kind_names[] = {"convolution", "products", "norms",     "elementwise",
                                         "attention",   "copies",   "optimiser", "random"};

static const char *kind_of(const profile_row *r)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(r->name, kinds[i].name, strlen(kinds[i].name)) == 0)
            return kinds[i].kind;
    return *r->pass != '\0' ? "elementwise" : "other";
}

static double milliseconds_of(const char *kind)
{
    int64_t ns = 0;
    for (const profile_row *r = profile_rows(); r != NULL; r = r->next)
        if (strcmp(kind_of(r), kind) == 0)
            ns += r->nanoseconds;
    return 1e-6 * (double)ns;
}

static double mib(int64_t bytes)
{
    return 0x1p-20 * (double)bytes;
}

/* Memory first; then one run more, under the profiler. */
static void stat_step(bench_work *w, FILE *to)
{
    step_state *s = w->state;
    fprintf(to, "tensors_mib=%.0f process_mib=%.0f", mib(ito_memory_peak()), process_peak_mib());
    if (s->steps > 0) {
        ito_memory_account m =
            ito_memory_account_of(&s->unet->base, s->trainer.optimizer, s->trainer.ema);
        fprintf(to, " weights_mib=%.0f gradients_mib=%.0f optimiser_mib=%.0f averages_mib=%.0f",
                mib(m.weights), mib(m.gradients), mib(m.optimizer), mib(m.averages));
        fprintf(to, " activations_mib=%.0f", mib(m.activations));
    }
    if (s->faults_from > 0 && s->steps > s->faults_from)
        fprintf(to, " faults_per_step=%.0f",
                (double)(ito_page_faults() - s->faults) / (double)(s->steps - s->faults_from));
    profile_on = true;
    profile_reset();
    int64_t start = profile_clock();
    ito_scope_begin();
    w->run(w);
    ito_scope_end();
    double total = 1e-6 * (double)(profile_clock() - start), named = 0;
    profile_on = false;
    for (size_t i = 0; i < sizeof kind_names / sizeof *kind_names; i++) {
        double ms = milliseconds_of(kind_names[i]);
        named += ms;
        fprintf(to, " share_%s=%.3f", kind_names[i], ms / total);
    }
    fprintf(to, " share_other=%.3f\n", 1 - named / total);
}

/* ---- setting up ---- */

static ito_unet_config config_of(const char *model)
{
    bool small = strcmp(model, "small") == 0;
    ito_unet_config c = {0};
    if (ito_unet_preset("cifar10", small ? 1 : 3, 32, 32, &c) != ITO_OK)
        bench_need(NULL);
    if (small) {
        c.channels = 32;
        c.levels = 3;
        c.dropout = 0;
    }
    return c;
}

static bool make(step_state *s, bench_work *w, const char *model, int64_t batch)
{
    ito_unet_config c = config_of(model);
    s->unet = ito_unet_create(&c, &w->generator);
    if (s->unet == NULL || ito_unet_set_precision(s->unet, w->dtype) != ITO_OK)
        return false;
    ito_diffusion_trainer *tr = &s->trainer;
    *tr = (ito_diffusion_trainer){.diffusion = ito_diffusion_create(),
                                  .network = &s->unet->network,
                                  .model = &s->unet->base,
                                  .optimizer = ito_adam_create(&s->unet->base),
                                  .ema = ito_ema_create(&s->unet->base, .decay = 0.9999),
                                  .max_norm = 1,
                                  .seed = 1};
    s->x = ito_randn(&w->generator, ITO_SHAPE(batch, c.in_channels, 32, 32), ITO_F32);
    s->t = ito_full(ITO_SHAPE(batch), 500, ITO_I64);
    return tr->diffusion != NULL && tr->optimizer != NULL && tr->ema != NULL && s->t != NULL;
}

ito_module *bench_model(const bench_work *w)
{
    const step_state *s = w->state;
    return &s->unet->base;
}

bool bench_setup_step(bench_work *w, char *const *words)
{
    static const struct {
        const char *name;
        void (*run)(bench_work *w);
    } all[] = {{"train", run_train},
               {"network", run_network},
               {"sample", run_sample},
               {"optimiser", run_optimiser}};
    static step_state s;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(words[0], all[i].name) == 0)
            w->run = all[i].run;
    if (w->run == NULL) {
        ito_error_set(ITO_ERR_ARGUMENT, "bench: no work is called %s", words[0]);
        return false;
    }
    w->state = &s;
    w->stat = stat_step;
    w->repeats = w->run == run_sample ? SAMPLING_STEPS : 1;
    if (!make(&s, w, words[1], words[2] == NULL ? 1 : atoll(words[2])))
        return false;
    ito_module_train(&s.unet->base, w->run == run_train);
    if (w->run == run_optimiser)
        run_train(w); /* for a gradient */
    return true;
}
