/* The shared part of the commands that edit images. Invariant: the same model, images, settings and
 * seed give the same result with any number of threads. */
#include "examples/ddpm/editing.h"

#include "examples/common/paths.h"
#include "examples/common/results.h"

#include <inttypes.h>
#include <ito/ito.h>

/* ---- images ---- */

ito_tensor *edit_data(edit_job *j)
{
    const ito_unet_config *c = &j->net.model->settings.model;
    ito_tensor *all = data_load((data_options){.spec = j->o.data,
                                               .range = j->o.range,
                                               .size = c->height,
                                               .grey = c->in_channels == 1,
                                               .skip_bad = j->o.skip_bad});
    return all == NULL || !model_fits(j->net.model, all, j->o.data) ? NULL : all;
}

ito_tensor *edit_data_range(const edit_job *j, ito_tensor *all, int64_t first, int64_t n,
                            const char *option)
{
    if (all == NULL)
        return NULL;
    if (first + n <= ito_size(all, 0))
        return images_scaled(ito_narrow(all, 0, first, n));
    options_error("%s: image %" PRId64 " is wanted, and %s has images 0 to %" PRId64, option,
                  first + n - 1, j->o.data, ito_size(all, 0) - 1);
    return NULL;
}

/* Whether a picture has the size of a grid of the network's images; an error says so. */
static bool is_grid(const ito_unet_config *c, const ito_tensor *x, const char *path)
{
    int64_t down = ito_size(x, 2) - PICTURE_PADDING, across = ito_size(x, 3) - PICTURE_PADDING;
    int64_t height = c->height + PICTURE_PADDING, width = c->width + PICTURE_PADDING;
    if (path_ends_with(path, ".npy") || down < height || across < width || down % height != 0 ||
        across % width != 0)
        return false;
    ito_error_set(ITO_ERR_SHAPE,
                  "%s: %" PRId64 "x%" PRId64 " is the size of a grid of %" PRId64 " x %" PRId64
                  " images, and one of %" PRId64 "x%" PRId64 " is needed; --out DIR/ writes each "
                  "to a file of its own",
                  path, ito_size(x, 2), ito_size(x, 3), down / height, across / width, c->height,
                  c->width);
    return true;
}

/* Pixels: numbers a little beyond [-1, 1], as generated images may have, are cut as in a picture.
 */
static ito_tensor *cut(ito_tensor *x, const char *path)
{
    static const double most = 1.5;
    if (ito_dtype_of(x) == ITO_U8)
        return x;
    ito_tensor *largest = ito_max(ito_abs(x));
    double reach = largest != NULL ? ito_item(largest) : 0.0;
    if (reach <= most)
        return ito_clamp(x, -1.0, 1.0);
    ito_error_set(ITO_ERR_RANGE, "%s: its numbers reach %g; f32 images lie in [-1, 1]", path,
                  reach);
    return NULL;
}

ito_tensor *edit_file(const edit_job *j, const char *path, bool pixels)
{
    const ito_unet_config *c = &j->net.model->settings.model;
    ito_tensor *x = image_file_load(path, c->in_channels, ANY_FINITE);
    if (x == NULL || is_grid(c, x, path) || !model_fits(j->net.model, x, path))
        return NULL;
    return pixels ? cut(x, path) : x;
}

bool edit_read_image(edit_job *j)
{
    ito_tensor *image = edit_file(j, j->o.image, true);
    if (image != NULL && ito_size(image, 0) != 1) {
        ito_error_set(ITO_ERR_SHAPE, "%s: one image is needed, not %" PRId64, j->o.image,
                      ito_size(image, 0));
        return false;
    }
    j->images = images_scaled(image);
    return j->images != NULL;
}

ito_tensor *edit_copies(const edit_job *j, int64_t n)
{
    const ito_unet_config *c = &j->net.model->settings.model;
    return ito_contiguous(ito_expand(j->images, n, c->in_channels, c->height, c->width));
}

/* ---- sampling ---- */

ito_sample_options edit_sampling(edit_job *j, int64_t first)
{
    return ITO_OPTIONS(ito_sample_options, .steps = j->o.steps, .seed = (uint64_t)j->o.seed,
                       .first_image = first, .progress = batches_progress,
                       .progress_context = &j->batches);
}

ito_sample_options edit_ddim(edit_job *j)
{
    ito_sample_options options = edit_sampling(j, 0);
    options.sampler = &ito_sampler_ddim;
    options.no_clip = true;
    return options;
}

bool edit_put(edit_job *j, int64_t first, ito_tensor *x)
{
    return inference_put(&j->net, j->result, first, x, first);
}

/* ---- a command ---- */

static void parse(const edit_command *e, edit_options *o, int argc, char **argv)
{
    command_line c = {.command = e->name, .doc = e->doc, .options = e->rows, .values = o};
    *o = (edit_options){.guidance = {.scale = 1.0}}; /* defaults of options without a row */
    options_parse(&c, argc, argv);
    guidance_check(&c, &o->guidance, o->class);
    data_check_skip_bad(&c, o->data);
    options_require(&c, "model", "the network to use");
    for (int i = 0; i < 2 && e->needs[i] != NULL; i++)
        options_require(&c, e->needs[i], "what it starts from");
    if (o->pictures.out == NULL && o->npy == NULL)
        options_refuse(&c, "--out or --npy is missing: where the result goes");
    pictures_check(&c, &o->pictures, false);
}

static bool prepare(edit_job *j, const edit_command *e)
{
    edit_options *o = &j->o;
    const output outputs[] = {pictures_output(&o->pictures), {"npy", o->npy, FILE_NPY}};
    return options_set_threads(o->threads) && outputs_can_write(outputs, 2, o->force) &&
           pictures_begin(&o->pictures) &&
           inference_open(&j->net, (inference_options){.command = e->name,
                                                       .model = o->model,
                                                       .weights = o->weights,
                                                       .precision = o->precision,
                                                       .class = o->class,
                                                       .guidance = &o->guidance}) &&
           inference_steps(&j->net, e->steps, &o->steps);
}

static bool run_all(edit_job *j, const edit_command *e)
{
    j->result = inference_images(&j->net, j->o.n);
    if (j->result == NULL || !pictures_fit(&j->o.pictures, ito_shape_of(j->result), 0, j->o.force))
        return false;
    j->batches = (batches){.what = "step",
                           .n = j->o.n,
                           .size = j->o.batch,
                           .trajectories = e->trajectories,
                           .run = e->run,
                           .context = j};
    return batches_run(&j->batches);
}

static bool write_result(edit_job *j)
{
    const edit_options *o = &j->o;
    ito_tensor *shown = j->picture != NULL ? j->picture : j->result;
    return (o->npy == NULL || ito_npy_save(o->npy, j->result) == ITO_OK) &&
           pictures_write(&o->pictures, shown, 0);
}

static cJSON *describe(const edit_job *j)
{
    cJSON *root = cJSON_CreateObject();
    result_text(root, "weights", j->net.model->path);
    result_number(root, "step", (double)j->net.model->step);
    result_number(root, "images", (double)j->o.n);
    result_number(root, "steps", (double)j->o.steps);
    inference_put_class(&j->net, root);
    if (j->error != NULL) {
        result_number(root, "round_trip_error", ito_item(ito_mean(j->error)));
        result_number(root, "largest_error", ito_item(ito_max(j->error)));
    }
    return root;
}

int edit_run(const edit_command *e, int argc, char **argv)
{
    edit_job j = {.result = NULL};
    parse(e, &j.o, argc, argv);
    double started = progress_clock();
    ito_scope_begin();
    bool good = prepare(&j, e) && e->read(&j) && run_all(&j, e) && write_result(&j);
    if (good) {
        say_where(j.o.n, e->result[0], e->result[1], j.o.npy);
        pictures_say(&j.o.pictures, j.o.n, j.net.model->settings.model.in_channels);
    }
    int code =
        good ? results_print(e->name, describe(&j), started, j.o.json) : options_report(e->name);
    inference_close(&j.net);
    ito_scope_end();
    return code;
}
