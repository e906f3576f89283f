/* The estimates of the clean images along a trajectory.
 * Invariant: of a trajectory of n steps step round(k (n - 1) / (K - 1)) is the k-th of the K kept,
 * so the first and the last one are among them. */
#include "examples/ddpm/trajectory.h"

#include "examples/common/options.h"
#include "examples/common/paths.h"
#include "examples/common/results.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANIMATION = -1, STRIP = 10, FRAME_MS = 80, LAST_MS = 2000 };

static bool is_strip(const trajectory *t)
{
    return t->path != NULL && ito_image_can_save(t->path);
}

/* A row of steps for each image. */
static picture_options strip_look(const trajectory *t)
{
    picture_options look = *t->look;
    look.columns = t->steps;
    return look;
}

/* Whether the pictures of images [N, C, H, W] are within bounds. */
static bool pictures_are_possible(const trajectory *t, ito_shape images)
{
    picture_options strip = strip_look(t);
    if (t->frames != NULL && !pictures_grid_fits("frames", t->look, images))
        return false;
    images.dim[0] *= t->steps;
    return !is_strip(t) || pictures_grid_fits("trajectory", &strip, images);
}

/* DIR/frame-0000.png and so on, DIR/frames.png for ANIMATION; freed with free(). */
static char *frame_path(const trajectory *t, int64_t k)
{
    char name[32] = "frames.png";
    if (k != ANIMATION)
        snprintf(name, sizeof name, "frame-%04" PRId64 ".png", k);
    return path_join(t->frames, name);
}

static bool frame_can_be_written(const trajectory *t, int64_t k)
{
    char *path = frame_path(t, k);
    bool good = path != NULL && output_can_write((output){"frames", path, FILE_IMAGE}, t->force);
    free(path);
    return good;
}

bool trajectory_begin(trajectory *t, ito_shape images, int64_t steps)
{
    if (t->path == NULL && t->frames == NULL)
        return true;
    if (t->steps > steps)
        return options_error("--trajectory-steps: %" PRId64 " is more than the %" PRId64 " taken",
                             t->steps, steps);
    if (t->steps == UNSET_INT)
        t->steps = is_strip(t) && steps > STRIP ? STRIP : steps;
    if (!pictures_are_possible(t, images) ||
        (t->frames != NULL && !path_make_directory(t->frames, false)))
        return false;
    for (int64_t k = ANIMATION; t->frames != NULL && k < t->steps; k++)
        if (!frame_can_be_written(t, k))
            return false;
    t->kept = ito_empty(
        ITO_SHAPE(t->steps, images.dim[0], images.dim[1], images.dim[2], images.dim[3]), ITO_F32);
    return t->kept != NULL;
}

static int64_t step_kept(const trajectory *t, int64_t k, int64_t n)
{
    return t->steps == 1 ? n - 1 : (2 * k * (n - 1) + t->steps - 1) / (2 * (t->steps - 1));
}

void trajectory_keep(trajectory *t, const ito_sampler_state *state, int64_t first)
{
    int64_t image = ito_numel(state->x) / ito_size(state->x, 0), n = ito_size(t->kept, 1);
    for (int64_t k = 0; k < t->steps; k++)
        if (step_kept(t, k, state->n) == state->i) /* an error ends the run at the next step */
            ito_to_data(state->estimate.x_0, (float *)ito_data(t->kept) + (k * n + first) * image,
                        ITO_F32);
}

static bool write_strip(const trajectory *t)
{
    ito_tensor *rows = ito_transpose(t->kept, 0, 1);
    picture_options look = strip_look(t);
    ito_tensor *grid = pictures_grid(ito_flatten(rows, 0, 1), &look);
    return grid != NULL && ito_image_save(t->path, grid) == ITO_OK;
}

static bool write_frame(const trajectory *t, ito_tensor *frame, int64_t k)
{
    char *path = frame_path(t, k);
    bool good = path != NULL && ito_png_save(path, frame) == ITO_OK;
    free(path);
    return good;
}

static bool write_frames(const trajectory *t)
{
    ito_tensor *all = NULL;
    for (int64_t k = 0; k < t->steps; k++) {
        ito_tensor *frame = pictures_grid(ito_select(t->kept, 0, k), t->look);
        if (k == 0 && frame != NULL)
            all = ito_empty(
                ITO_SHAPE(t->steps, ito_size(frame, 0), ito_size(frame, 1), ito_size(frame, 2)),
                ITO_U8);
        if (ito_copy_(ito_select(all, 0, k), frame) == NULL || !write_frame(t, frame, k))
            return false;
    }
    char *path = frame_path(t, ANIMATION);
    bool good = path != NULL && ito_apng_save(path, all, FRAME_MS, LAST_MS) == ITO_OK;
    free(path);
    return good;
}

bool trajectory_write(const trajectory *t)
{
    if (is_strip(t) ? !write_strip(t) : t->path != NULL && ito_npy_save(t->path, t->kept) != ITO_OK)
        return false;
    return t->frames == NULL || write_frames(t);
}

void trajectory_say(const trajectory *t)
{
    say_where(t->steps, "step of them", "steps of them", t->path);
    say_where(t->steps, "frame, and frames.png, which plays it,",
              "frames, and frames.png, which plays them,", t->frames);
}
