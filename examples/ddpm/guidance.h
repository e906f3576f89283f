/* The options of guidance, and the network that guides another. */
#ifndef ITO_DDPM_GUIDANCE_OPTIONS_H
#define ITO_DDPM_GUIDANCE_OPTIONS_H

#include "examples/common/options.h"
#include "examples/ddpm/model_files.h"

#include <ito/ito.h>

typedef struct guidance_options {
    double scale, rescale;
    const char *interval; /* "LOW,HIGH", or NULL: everywhere */
    const char *network;  /* of autoguidance, or NULL */
    bool perturbed;       /* by the network itself, its attention perturbed */
} guidance_options;

/* Rows. AT(field) is of the command's options, whose guidance is a guidance_options. */
#define GUIDANCE_ROWS                                                                              \
    REAL_ROW("guidance", guidance.scale, "W", 0, 1000, "1",                                        \
             "How much of the class: 1 as trained, 2 or 3 clearer and less varied, 0 none of it"), \
        TEXT_ROW("guidance-interval", guidance.interval, "LOW,HIGH", NULL,                         \
                 "guidance: only where noise / signal is above LOW and at most HIGH; elsewhere "   \
                 "the network is evaluated once, as trained",                                      \
                 RARE),                                                                            \
        REAL_ROW("guidance-rescale", guidance.rescale, "X", 0, 1, "0",                             \
                 "guidance: bring the contrast back to the network's: 0 not, 1 wholly", RARE),     \
        TEXT_ROW("autoguidance", guidance.network, "RUN|FILE", NULL,                               \
                 "guidance: away from this worse network, an earlier checkpoint or a smaller "     \
                 "one, not from images without a class",                                           \
                 RARE),                                                                            \
        FLAG_ROW("perturbed-attention", guidance.perturbed,                                        \
                 "guidance: the same from the network itself without its attention in the middle", \
                 RARE)
/* Names of those beside "guidance", for refusals. */
#define GUIDANCE_MORE "guidance-interval|guidance-rescale|autoguidance|perturbed-attention"

/* End the program if options of guidance were given that do not go together, or guide to nothing.
 */
void guidance_check(const command_line *c, const guidance_options *o, const char *class);
/* Whether it is away from images without a class. */
bool guidance_by_class(const guidance_options *o);

/* Load o->network, the worse network of autoguidance; averaged or plain weights. NULL with an error
 * recorded, also if the two disagree. */
ito_ddpm *guide_load(const guidance_options *o, bool plain, const ito_ddpm *better);
/* Whether two processes have the same levels. */
bool same_levels(const ito_process *a, const ito_process *b);
/* The numbers of o->interval, if there is one. False with an error recorded for one that is none.
 */
bool guidance_interval(const guidance_options *o, double *lo, double *hi);

#endif
