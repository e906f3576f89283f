/* The schedulers of diffusers that have a sampler here, and which settings each of them heeds. Not
 * installed. */
#ifndef ITO_DDPM_DIFFUSERS_SCHEDULER_CLASSES_H
#define ITO_DDPM_DIFFUSERS_SCHEDULER_CLASSES_H

/* What a scheduler heeds. Files often have settings of other classes, which mean nothing there. */
enum {
    HEEDS_CLIP = 1 << 0,      /* clip_sample, clip_sample_range */
    HEEDS_THRESHOLD = 1 << 1, /* thresholding, dynamic_thresholding_ratio, sample_max_value */
    HEEDS_RESCALE = 1 << 2,   /* rescale_betas_zero_snr */
    HEEDS_VARIANCE = 1 << 3,  /* variance_type */
    HEEDS_ALPHA = 1 << 4,     /* set_alpha_to_one */
    HEEDS_SIGMAS = 1 << 5,    /* use_karras_sigmas, use_exponential_sigmas */
    HEEDS_LAMBDAS = 1 << 6,   /* use_lu_lambdas */
    HEEDS_FINAL = 1 << 7,     /* final_sigmas_type */
    HEEDS_ORDER = 1 << 8,     /* solver_order */
    HEEDS_ALGORITHM = 1 << 9, /* algorithm_type */
    HEEDS_PRK = 1 << 10,      /* skip_prk_steps */
    HEEDS_SOLVER = 1 << 11    /* solver_type */
};

#define HEEDS_DPM                                                                                  \
    (HEEDS_THRESHOLD | HEEDS_SIGMAS | HEEDS_FINAL | HEEDS_ORDER | HEEDS_ALGORITHM |                \
     HEEDS_VARIANCE | HEEDS_SOLVER)

typedef struct scheduler_class {
    const char *name;
    const char *samplers[4]; /* by solver_order, from 1 on; [0]: of those without; NULL: none */
    const char *solver_type; /* HEEDS_SOLVER: that of these samplers */
    unsigned heeds;
    const char *spacing; /* timestep_spacing where the file lacks it */
} scheduler_class;

static const scheduler_class scheduler_classes[] = {
    {"DDPMScheduler",
     {"ddpm"},
     NULL,
     HEEDS_CLIP | HEEDS_THRESHOLD | HEEDS_RESCALE | HEEDS_VARIANCE,
     "leading"},
    {"DDIMScheduler",
     {"ddim"},
     NULL,
     HEEDS_CLIP | HEEDS_THRESHOLD | HEEDS_RESCALE | HEEDS_ALPHA,
     "leading"},
    {"PNDMScheduler", {"pndm"}, NULL, HEEDS_ALPHA | HEEDS_PRK, "leading"},
    {"EulerDiscreteScheduler",
     {"euler"},
     NULL,
     HEEDS_RESCALE | HEEDS_SIGMAS | HEEDS_FINAL,
     "linspace"},
    {"EulerAncestralDiscreteScheduler", {"euler-a"}, NULL, HEEDS_RESCALE, "linspace"},
    {"HeunDiscreteScheduler", {"heun"}, NULL, HEEDS_CLIP | HEEDS_SIGMAS, "linspace"},
    {"LMSDiscreteScheduler", {"lms"}, NULL, HEEDS_SIGMAS, "linspace"},
    {"DPMSolverMultistepScheduler",
     {NULL, "dpm++1s", "dpm++2m", "dpm++3m"},
     "midpoint",
     HEEDS_DPM | HEEDS_RESCALE | HEEDS_LAMBDAS,
     "linspace"},
    {"DPMSolverSinglestepScheduler",
     {NULL, "dpm++1s", "dpm++2s"},
     "midpoint",
     HEEDS_DPM,
     "linspace"},
    {"DEISMultistepScheduler",
     {NULL, NULL, "deis", "deis3"},
     "logrho",
     HEEDS_THRESHOLD | HEEDS_SIGMAS | HEEDS_ORDER | HEEDS_SOLVER,
     "linspace"},
    {"UniPCMultistepScheduler",
     {NULL, NULL, "unipc", "unipc3"},
     "bh2",
     HEEDS_THRESHOLD | HEEDS_RESCALE | HEEDS_SIGMAS | HEEDS_FINAL | HEEDS_ORDER | HEEDS_SOLVER,
     "linspace"},
};

enum { SCHEDULER_CLASSES = sizeof scheduler_classes / sizeof scheduler_classes[0] };

#endif
