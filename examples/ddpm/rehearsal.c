/* What would end a run at a later step. */
#include "examples/ddpm/rehearsal.h"

#include "examples/common/messages.h"
#include "examples/common/paths.h"
#include "examples/ddpm/run_samples.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>

static double mib(int64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* One more checkpoint than are kept is there for a moment. A resumed run has its old ones. */
bool rehearse_room(const train_options *o, int64_t checkpoint, int64_t room)
{
    if (room < checkpoint) {
        ito_error_set(ITO_ERR_IO,
                      "%s: a checkpoint takes %.1f MiB, and %.1f MiB are free on its disk", o->out,
                      mib(checkpoint), mib(room));
        return false;
    }
    if (!o->resume && room / (o->keep + 1) < checkpoint)
        note("ito-ddpm train: the disk of %s has %.1f MiB free, and %" PRId64
             " checkpoints of %.1f MiB each are written before one is removed\n",
             o->out, mib(room), o->keep + 1, mib(checkpoint));
    return true;
}

bool rehearse(session *s)
{
    ito_memory_account m = ito_memory_account_of(&s->unet->base, s->optimizer, s->ema);
    return run_samples_try(s) &&
           rehearse_room(&s->o, m.weights + m.optimizer + m.averages, path_room(s->o.out));
}

void rehearse_report(const session *s)
{
    char *path = path_join(s->o.out, "report.html");
    if (path != NULL && !path_can_write(path))
        note("ito-ddpm train: there will be no report: %s\n", ito_error_message());
    ito_error_clear();
    free(path);
}
