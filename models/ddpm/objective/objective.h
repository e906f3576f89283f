/* The choices of the training objective: the prediction, the time input, the variance of a reverse
 * step, the weight of an error, and the loss.
 *
 * Each is a small struct with a function of one step; numbers in, numbers out. What the network
 * predicts is always linear in the clean data and the noise, so a prediction is one pair of
 * numbers, and loss, bound and samplers are written once for all of them. The functions get their
 * own struct first: copy a built-in one, change its numbers, and pass that.
 */
#ifndef ITO_DDPM_OBJECTIVE_H
#define ITO_DDPM_OBJECTIVE_H

#include "../../../tensor/tensor.h"
#include "../process/process.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- predictions ---- */

/** The target of the output: x_0 x_0 + eps eps. */
typedef struct ito_target {
    double x_0, eps; /* coefficients of the two */
} ito_target;

/** The parameterisation: what the network's output stands for. */
typedef struct ito_prediction ito_prediction;
struct ito_prediction {
    const char *name, *help, *source; /* see choices.h */
    unsigned uses;                    /* ITO_USES_SIGMA_DATA, ITO_NEEDS_STEPS */
    ito_target (*target)(const ito_prediction *self, const ito_step *step);
    /** c_in: the factor of x_t in the network's input; NULL: 1. */
    double (*c_in)(const ito_prediction *self, const ito_step *step);
    double sigma_data; /* edm: standard deviation of the data */
};

/** Each of these is described by its own help and source, in predictions.def. */
#define ITO_PREDICTION(name) ITO_API extern const ito_prediction name;
#include "predictions.def"

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_prediction *ito_prediction_find(const char *name);

/** The x_0 or eps that an output implies is c_skip x_t + c_out output. */
typedef struct ito_preconditioning {
    double c_skip, c_out;
} ito_preconditioning;

/** The x_0 that an output implies. Infinite if it does not depend on x_0. */
ITO_API ito_preconditioning ito_prediction_to_x_0(const ito_prediction *p, const ito_step *step);
/** The eps that an output implies. Infinite if it does not depend on eps. */
ITO_API ito_preconditioning ito_prediction_to_eps(const ito_prediction *p, const ito_step *step);

/* ---- what the network is given of the time ---- */

/** A function of the level or time. */
typedef struct ito_time_input {
    const char *name, *help, *source; /* see choices.h */
    unsigned uses;
    double (*value)(const ito_step *step);
} ito_time_input;

/** Each of these is described by its own help and source, in time_inputs.def. */
#define ITO_TIME_INPUT(name) ITO_API extern const ito_time_input name;
#include "time_inputs.def"

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_time_input *ito_time_input_find(const char *name);

/* ---- variances ---- */

/** A logarithm of a variance, offset + slope v, where v is the network's second head. */
typedef struct ito_log_variance {
    double offset, slope;
} ito_log_variance;

/** The variance of a reverse step. */
typedef struct ito_variance {
    const char *name, *help, *source; /* see choices.h */
    unsigned uses;
    ito_log_variance (*log_variance)(const ito_step *step);
    bool learned; /* the network has a second head: twice the channels, the last half being v */
} ito_variance;

/** Each of these is described by its own help and source, in variances.def. */
#define ITO_VARIANCE(name) ITO_API extern const ito_variance name;
#include "variances.def"

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_variance *ito_variance_find(const char *name);

/* ---- weightings ---- */

/** The quantity whose squared error is weighted. */
typedef enum ito_quantity {
    ITO_QUANTITY_OUTPUT, /* the network's output, whatever it predicts */
    ITO_QUANTITY_X_0,    /* the x_0 that it implies */
    ITO_QUANTITY_EPS     /* the eps that it implies */
} ito_quantity;

/** The weight in the loss of the squared error of an example noised to t. */
typedef struct ito_weighting ito_weighting;
struct ito_weighting {
    const char *name, *help, *source; /* see choices.h */
    unsigned uses; /* ITO_USES_GAMMA, ITO_USES_K, ITO_USES_SIGMA_DATA, ITO_NEEDS_STEPS */
    double (*weight)(const ito_weighting *self, const ito_step *step); /* NULL: 1 */
    /** Of the network's output, or of the x_0 or eps that it implies: one weight that is right for
     * every prediction. */
    ito_quantity of;
    double gamma, k, sigma_data;
};

/** Each of these is described by its own help and source, in weightings.def. */
#define ITO_WEIGHTING(name) ITO_API extern const ito_weighting name;
#include "weightings.def"

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_weighting *ito_weighting_find(const char *name);

/* ---- objectives ---- */

/** The loss: simple times the weighted error + vlb times the term of the bound. */
typedef struct ito_objective {
    const char *name, *help, *source; /* see choices.h */
    unsigned uses;                    /* ITO_NEEDS_STEPS */
    double simple, vlb;
    bool whole_bound; /* the term counts T times: the mean over t estimates the bound itself */
    bool detach_mean; /* the term trains the variance alone */
    /** Of output - target, element by element; NULL: the square. */
    ito_tensor *(*distance)(ito_tensor *difference);
} ito_objective;

/** Each of these is described by its own help and source, in objectives.def. */
#define ITO_OBJECTIVE(name) ITO_API extern const ito_objective name;
#include "objectives.def"

/** The one of that name. NULL and ITO_ERR_ARGUMENT, with the names there are, if none has it. */
ITO_API const ito_objective *ito_objective_find(const char *name);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_prediction_find(...) ITO_AT(ito_prediction_find(__VA_ARGS__))
#define ito_time_input_find(...) ITO_AT(ito_time_input_find(__VA_ARGS__))
#define ito_variance_find(...) ITO_AT(ito_variance_find(__VA_ARGS__))
#define ito_weighting_find(...) ITO_AT(ito_weighting_find(__VA_ARGS__))
#define ito_objective_find(...) ITO_AT(ito_objective_find(__VA_ARGS__))
#endif

#endif
