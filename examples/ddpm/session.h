/* A training run in one process, or one rank of several: everything that its steps work on, from
 * the data to the log. */
#ifndef ITO_DDPM_SESSION_H
#define ITO_DDPM_SESSION_H

#include "examples/common/events.h"
#include "examples/common/progress.h"
#include "examples/ddpm/loss_bins.h"
#include "examples/ddpm/pace.h"
#include "examples/ddpm/run_directory.h"
#include "examples/ddpm/step_profile.h"
#include "examples/ddpm/train_options.h"

#include <ito/ito.h>

typedef struct session {
    train_options o;
    cJSON *config; /* of the run that is resumed; o points into it */
    ito_dataset *data;
    cJSON *class_names; /* NULL unless conditional */
    cJSON *identity;    /* of the data */
    ito_loader *loader;
    ito_unet *unet;
    ito_uncertainty *uncertainty; /* part of unet; NULL: none */
    ito_diffusion *diffusion;
    /* Around the network, from the inside: its own last estimate, and labels; or NULL. */
    ito_self_condition *remembering;
    ito_class_condition *labelled;
    ito_network *network;            /* all of it */
    ito_timestep_law law;            /* with the numbers of the options */
    ito_timestep_sampler *timesteps; /* NULL: uniform, which has no state */
    ito_tensor *memory[2];           /* of timesteps, for checkpoints */
    ito_optimizer *optimizer;
    ito_ema *ema;
    ito_parallel *parallel; /* NULL: one slice, alone */
    ito_tensor *labels;     /* of the batch that is trained on, or NULL */
    ito_generator draw;     /* from which that batch drops labels and estimates */
    char *settings;
    training_run run;
    event_file events; /* for TensorBoard, if requested */
    ito_diffusion_trainer trainer;
    progress progress;
    step_profile profile;
    loss_bins bins; /* of the steps since the last line with them */
    pace pace;      /* of a run of --minutes; zeroed: none */
    cJSON *planned; /* its config.json, with its plans */
    int64_t step;   /* steps done */
    int64_t saved;  /* the step of the last checkpoint, or -1 */
    int failures;   /* in a row */
    double seconds; /* of training in earlier processes */
    double started;
    int64_t channels, height, width;
} session;

/* Open everything for the options in s->o: a new run, or one at its last checkpoint. With --dry-run
 * nothing is written and there is no run. False with an error recorded. */
bool session_open(session *s);
/* Train on the next batch, and count the step. False with an error recorded. */
bool session_step(session *s, double lr, ito_train_result *r);
/* The state for a checkpoint. */
ito_training_state session_state(const session *s);
/* Write a checkpoint of the current step, unless there is one. False with an error recorded. */
bool session_save(session *s);
/* Let this process have all of the averages, which ranks keep in parts. All ranks call it. */
bool session_gather(session *s);
/* Set the generator that drops the network's labels and estimates in training; NULL for sampling.
 */
void session_draw_from(session *s, ito_generator *g);
/* Accepts a session that is partly open. */
void session_close(session *s);

#endif
