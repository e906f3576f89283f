/* The two files of settings of a diffusers directory. Not installed. */
#ifndef ITO_DDPM_DIFFUSERS_INTERNAL_H
#define ITO_DDPM_DIFFUSERS_INTERNAL_H

#include "models/ddpm/diffusers/diffusers.h"
#include "models/ddpm/diffusers/json.h"

#define DIFFUSERS_VERSION "0.42.1" /* the one that the tables were written from */

/* ---- the network: DIR/config.json ---- */

/* False with an error recorded: "DIR/config.json: ...", also for a network that cannot be built. */
bool diffusers_read_unet(const char *dir, ito_unet_config *out);
/* The same as text, for a network of these settings; `classes` rows of class_embedding. NULL with
 * an error recorded for what UNet2DModel cannot be. */
cJSON *diffusers_unet_json(const ito_unet_config *c);

/* ---- the process and the sampler: DIR/scheduler_config.json ---- */

/* sample_max_value from here on limits nothing. */
#define DIFFUSERS_NO_LIMIT 1e6

typedef struct diffusers_scheduler {
    ito_diffusion_options diffusion;
    double *betas; /* what diffusion.betas points to; freed with free(); or NULL */
    ito_ddpm_sampling sampling;
    bool says_variance; /* false: it has no place for the variance of the ancestral sampler */
} diffusers_scheduler;

/* What a network is for whose directory, for messages, has no scheduler. False with an error
 * recorded if that cannot be. */
bool diffusers_usual_scheduler(const char *dir, const ito_unet_config *unet,
                               diffusers_scheduler *out);
/* Notes are lines about what samples are made otherwise here. */
bool diffusers_read_scheduler(const char *dir, const ito_unet_config *unet,
                              diffusers_scheduler *out, char **notes);
/* NULL with an error recorded for what no scheduler can be. */
cJSON *diffusers_scheduler_json(const ito_diffusion *d, const ito_ddpm_sampling *s, char **notes);

/* ---- the directory ---- */

/* Metadata of weights that Ito writes. */
#define ITO_DDPM_SETTINGS_KEY "ito_ddpm_settings"
#define ITO_DDPM_STEP_KEY "ito_ddpm_step"

/* Whether there is DIR/NAME; needs no memory. */
bool diffusers_has(const char *dir, const char *name);
/* Forget the recorded error of a file that only might have been of diffusers; false if it is that
 * memory ran out, which stays. */
bool diffusers_forget_error(void);

/* What ito_ddpm_load needs. */
typedef struct diffusers_source {
    char *weights; /* their path */
    char *text;    /* the settings of a run, as checkpoints have them: JSON */
    char *notes;   /* lines for the user; NULL: none */
    int64_t step;  /* of the training, where the weights say it, or 0 */
} diffusers_source;

bool diffusers_read(const char *dir, diffusers_source *out);
/* Weights in a file that a config.json is beside, in dir. */
bool diffusers_read_beside(const char *dir, const char *weights, diffusers_source *out);
/* Into the network, with a note about names that are not today's. */
bool diffusers_read_weights(const char *path, ito_unet *unet, char **notes);
void diffusers_source_free(diffusers_source *s);

#endif
