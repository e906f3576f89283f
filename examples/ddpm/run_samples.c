/* The grids of samples that a run leaves on its way.
 * Invariant: drawing, or trying to, leaves nothing behind in what is trained. */
#include "examples/ddpm/run_samples.h"

#include "examples/common/messages.h"
#include "examples/common/paths.h"
#include "examples/common/stop.h"
#include "examples/ddpm/inference.h"
#include "examples/ddpm/pictures.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdlib.h>

static const picture_options look = {.columns = UNSET_INT, .padding = UNSET_INT, .zoom = 1};

static bool go_on(int64_t done, int64_t steps, ito_tensor *x, void *context)
{
    (void)done;
    (void)steps;
    (void)x;
    (void)context;
    return stop_signal() == 0;
}

static bool go_no_further(int64_t done, int64_t steps, ito_tensor *x, void *context)
{
    (void)done;
    (void)steps;
    (void)x;
    (void)context;
    return false;
}

static ito_shape shape_of(const session *s)
{
    return ITO_SHAPE(s->o.sample_count, s->channels, s->height, s->width);
}

/* Samples of each class in turn, by the weights as they are. */
static ito_tensor *draw(session *s, ito_sample_progress *until)
{
    const train_options *o = &s->o;
    session_draw_from(s, NULL);
    if (s->labelled != NULL)
        s->labelled->labels = classes_in_turn(0, o->sample_count, s->labelled->classes);
    ito_module_train(&s->unet->base, false);
    ito_tensor *x = ito_diffusion_sample(
        s->diffusion, s->network, shape_of(s),
        .sampler = o->sampler != NULL ? ito_sampler_find(o->sampler) : NULL,
        .spacing = o->spacing != NULL ? ito_spacing_find(o->spacing) : NULL,
        .steps = o->sample_steps, .seed = (uint64_t)o->seed, .progress = until);
    ito_module_train(&s->unet->base, true);
    return x;
}

static bool write_grid(session *s, const char *path)
{
    ito_tensor *x = draw(s, go_on);
    if (x == NULL)
        return ito_error_code() == ITO_OK;
    ito_tensor *grid = pictures_grid(x, &look);
    if (grid == NULL && ito_error_code() == ITO_ERR_NUMERIC) {
        progress_end(&s->progress);
        note("samples of step %" PRId64 " are not finite; none are written\n", s->step);
        ito_error_clear();
        return true;
    }
    return grid != NULL && ito_png_save(path, grid) == ITO_OK;
}

bool run_samples_write(session *s)
{
    char *path = run_sample_path(s->run.dir, s->step);
    if (path == NULL)
        return false;
    bool good = true;
    if (!path_exists(path)) {
        ito_scope_begin();
        ito_ema_swap(s->ema);
        good = write_grid(s, path);
        ito_ema_swap(s->ema);
        ito_scope_end();
        progress_skip(&s->progress);
    }
    free(path);
    return good;
}

bool run_samples_try(session *s)
{
    if (s->o.sample_every == 0)
        return true;
    if (!pictures_grid_fits("sample-count", &look, shape_of(s)))
        return false;
    ito_scope_begin();
    bool good = draw(s, go_no_further) != NULL || ito_error_code() == ITO_OK;
    if (!good && !s->o.resume)
        options_blame();
    ito_scope_end();
    if (good && pictures_split(s->channels))
        note("images have %" PRId64 " channels: pictures show them side by side, in grey\n",
             s->channels);
    return good;
}

bool run_samples_time(session *s, double *seconds)
{
    double before = progress_clock();
    ito_scope_begin();
    bool good = draw(s, go_no_further) != NULL || ito_error_code() == ITO_OK;
    ito_scope_end();
    *seconds = (progress_clock() - before) * (double)s->o.sample_steps;
    return good;
}
