/* What would end a run at a later step is tried before the first. */
#ifndef ITO_DDPM_REHEARSAL_H
#define ITO_DDPM_REHEARSAL_H

#include "examples/ddpm/session.h"

/* Before a run writes anything: grids of samples, and room for checkpoints. False with an error
 * recorded. */
bool rehearse(session *s);
/* Whether a checkpoint of so many bytes fits into the room on the disk, in bytes; if not all that
 * are kept do, that is said on stderr. */
bool rehearse_room(const train_options *o, int64_t checkpoint, int64_t room);
/* Once its directory is there: a report that cannot be written is said, since it is no reason to
 * stop. */
void rehearse_report(const session *s);

#endif
