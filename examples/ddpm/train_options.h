/* What `ito-ddpm train` can be told: one table for the command line, for --help, and for the
 * config.json that a run is resumed from. */
#ifndef ITO_DDPM_TRAIN_OPTIONS_H
#define ITO_DDPM_TRAIN_OPTIONS_H

#include "examples/common/options.h"
#include "models/ddpm/settings.h"

#include <cjson/cJSON.h>

typedef struct train_options {
    /* data */
    const char *data;
    int64_t size;
    bool grey;
    const char *flip;
    /* the run */
    const char *out;
    bool conditional, resume, json, tensorboard;
    int64_t steps, stop_at, seed, threads;
    double minutes; /* 0: steps says how long the run is */
    int64_t checkpoint_every, keep, sample_every, sample_count, sample_steps, log_every;
    /* the network */
    const char *preset, *multipliers, *attention, *precision;
    int64_t channels, blocks;
    double dropout, label_dropout;
    bool recompute, self_conditioning;
    /* the diffusion */
    const char *schedule, *prediction, *variance, *loss, *weighting, *step_sampling;
    double gamma, k;                         /* of the weighting; 0: its own */
    double beta_start, beta_end, sigma_data; /* 0: the usual ones */
    bool zero_terminal_snr;
    int64_t diffusion_steps;
    /* the optimiser */
    int64_t batch, warmup;
    double lr, clip, ema;
    const char *decay;
} train_options;

/* Parse the command line. A run that is resumed has its settings from its config.json, a JSON text
 * that must outlive o, as *config, and none of those that belong to it may be given otherwise. */
void train_options_parse(train_options *o, int argc, char **argv, cJSON **config);

/* The network and diffusion for images of this shape, or false with an error recorded
 * (train_settings.c). */
bool train_settings(const train_options *o, int64_t channels, int64_t height, int64_t width,
                    ito_ddpm_settings *out);

/* All of it and the settings as a JSON text, freed with free(). */
char *train_options_format(const train_options *o, const ito_ddpm_settings *settings,
                           int64_t images);
/* The config of a run that is resumed with these options in it, likewise. */
char *train_options_update(const train_options *o, const cJSON *config);

#endif
