/* A trained network on several ranks. */
#ifndef ITO_DDPM_MODEL_RANKS_H
#define ITO_DDPM_MODEL_RANKS_H

#include <ito/ito.h>

/* What tells weights from others: a hash of all state. False with an error recorded. */
bool model_hash(const ito_module *m, char text[32]);
/* Whether all ranks are of one version and have the same command line and network: see ranks_agree.
 */
bool model_agree(const ito_ddpm *model);

#endif
