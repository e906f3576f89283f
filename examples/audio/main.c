/* ito-audio: a diffusion of sound. Learns tones of eight notes from their waves alone, by a network
 * of one-dimensional convolutions, and makes new ones of the note that is asked for. */
#include "examples/audio/network.h"
#include "examples/audio/sound.h"
#include "examples/common/options.h"
#include "examples/common/progress.h"

#include <ito/ito.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

typedef struct audio_options {
    const char *out;
    int64_t steps, batch, width, sampling_steps, n, seed, threads;
    double lr;
} audio_options;

#define AT(field) offsetof(audio_options, field)

static const option_row rows[] = {
    INT_ROW("steps", steps, "N", 1, 1e7, "1500", "Training steps"),
    INT_ROW("batch", batch, "N", 1, 1e6, "16", "Tones in each"),
    INT_ROW("width", width, "N", 8, 8192, "96", "Channels of the network, a multiple of 8"),
    REAL_ROW("lr", lr, "RATE", ABOVE_0, 1, "0.002", "Learning rate, falling to 0 along a cosine"),
    INT_ROW("sampling-steps", sampling_steps, "N", 1, 1e6, "25", "Steps from noise to a tone"),
    INT_ROW("n", n, "N", 32, 4096, "256", "Tones that are made and judged"),
    TEXT_ROW("out", out, "DIR", "audio", "Where data.wav, samples.wav and spectra.png go"),
    SEED_ROW,
    THREADS_ROW,
    END_ROW,
};

/* ---- the run ---- */

/* The notes 0 to 7, and again: [n] i64. */
static ito_tensor *notes_in_turn(int64_t n)
{
    ito_tensor *notes = ito_empty(ITO_SHAPE(n), ITO_I64);
    for (int64_t i = 0; notes != NULL && i < n; i++)
        ((int64_t *)ito_data(notes))[i] = i % NOTES;
    return notes;
}

static bool train(ito_diffusion_trainer *t, ito_class_condition *network, const audio_options *o)
{
    ito_generator g = ito_generator_make((uint64_t)o->seed, 1);
    progress p = {.quiet = false};
    progress_begin(&p, "step", "tones", 0, o->steps);
    for (int64_t step = 0; step < o->steps; step++) {
        ito_train_result r;
        ito_scope_begin();
        network->labels = notes_in_turn(o->batch);
        ito_tensor *x = tones(network->labels, &g);
        double lr = 0.5 * o->lr * (1.0 + cos(M_PI * (double)step / (double)o->steps));
        ito_status status = ito_diffusion_train_step(t, x, step, lr, &r);
        ito_scope_end();
        if (status != ITO_OK)
            return false;
        progress_step(&p, step + 1, o->batch, r.loss);
    }
    progress_end(&p);
    return ito_ema_swap(t->ema) == ITO_OK;
}

/* Tones beside samples, in figures, to hear and to see. */
static bool judge(const ito_diffusion *d, ito_class_condition *network, const audio_options *o)
{
    ito_generator g = ito_generator_make((uint64_t)o->seed, 2);
    ito_tensor *notes = network->labels = notes_in_turn(o->n);
    ito_tensor *real = tones(notes, &g);
    ito_tensor *other = tones(notes, &g);
    ito_tensor *made = ito_diffusion_sample(
        d, &network->base, ITO_SHAPE(o->n, 1, LENGTH), .sampler = &ito_sampler_heun,
        .steps = o->sampling_steps, .no_clip = true, .seed = (uint64_t)o->seed);
    double far = spectral_distance(real, made), least = spectral_distance(real, other);
    if (isnan(far) || isnan(least))
        return false;
    printf("in tune: %.1f %% of samples, %.1f %% of tones\n", in_tune(made, notes),
           in_tune(real, notes));
    printf("spectral distance: %.2f of samples, %.2f of other tones\n", far, least);
    char path[4096];
    snprintf(path, sizeof path, "%s/spectra.png", o->out);
    ito_tensor *all = ito_cat(ITO_TENSORS(spectra(real), spectra(made)), 0);
    ito_tensor *grid = all == NULL ? NULL : ito_image_grid(all, NOTES, 2);
    return grid != NULL && ito_png_save(path, grid) == ITO_OK &&
           save_wav(o->out, "data.wav", real) && save_wav(o->out, "samples.wav", made);
}

static bool run(const audio_options *o)
{
    if (o->width % 8 != 0)
        return options_error("--width: %d is not a multiple of 8", (int)o->width);
    ito_generator g = ito_diffusion_generator((uint64_t)o->seed, ITO_DRAW_INIT, 0);
    ito_diffusion *d =
        ito_diffusion_create(.schedule = &ito_schedule_flow, .prediction = &ito_prediction_flow);
    wave_net *m = wave_net_create(o->width, &g);
    bool good = d != NULL && m != NULL;
    ito_class_condition *labelled = good ? ito_class_condition_create(&m->network, NOTES) : NULL;
    ito_diffusion_trainer t = {.diffusion = d, .max_norm = 1.0, .seed = (uint64_t)o->seed};
    if (labelled != NULL) {
        t.network = &labelled->base;
        t.model = &m->base;
        t.optimizer = ito_adam_create(&m->base);
        t.ema = ito_ema_create(&m->base, .decay = 0.995, .warmup = true);
    }
    mkdir(o->out, 0777); /* an error shows at the first file */
    good = t.optimizer != NULL && t.ema != NULL && options_set_threads(o->threads) &&
           train(&t, labelled, o);
    ITO_SCOPE
    {
        good = good && judge(d, labelled, o);
    }
    ito_ema_free(t.ema);
    ito_optimizer_free(t.optimizer);
    ito_network_free(t.network);
    if (m != NULL)
        ito_module_free(&m->base);
    ito_diffusion_free(d);
    return good;
}

int main(int argc, char **argv)
{
    audio_options o = {.out = NULL};
    command_line c = {.command = "",
                      .doc = "Learn tones of eight notes from their waves, and make new ones.",
                      .options = rows,
                      .values = &o};
    options_parse(&c, argc, argv);
    if (run(&o))
        return 0;
    options_blame();
    return options_report(c.command);
}
