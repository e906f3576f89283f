/* The shared part of the commands that edit images. Invariant: the same model, images, settings and
 * seed give the same result with any number of threads. */
#include "examples/ddpm/editing.h"

#include "examples/common/paths.h"
#include "examples/common/results.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>

/* ---- images ---- */

ito_tensor *edit_data(edit_job *j)
{
    const ito_unet_config *c = &j->net.model->settings.model;
    ito_tensor *all = data_load(
        (data_options){.spec = j->o.data, .size = c->height, .grey = c->in_channels == 1});
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

ito_tensor *edit_file(const edit_job *j, const char *path, float limit)
{
    ito_tensor *x = image_file_load(path, j->net.model->settings.model.in_channels, limit);
    return x == NULL || !model_fits(j->net.model, x, path) ? NULL : x;
}

bool edit_read_image(edit_job *j)
{
    ito_tensor *image = edit_file(j, j->o.image, IN_PIXEL_RANGE);
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
    options_require(&c, "model", "the network to use");
    for (int i = 0; i < 2 && e->needs[i] != NULL; i++)
        options_require(&c, e->needs[i], "what it starts from");
    if (o->out == NULL && o->npy == NULL)
        options_refuse(&c, "--out or --npy is missing: where the result goes");
}

static bool prepare(edit_job *j, const edit_command *e)
{
    edit_options *o = &j->o;
    return options_set_threads(o->threads) && paths_can_write(o->out, o->npy, NULL) &&
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
    j->batches = (batches){.what = "step",
                           .n = j->o.n,
                           .size = j->o.batch,
                           .trajectories = e->trajectories,
                           .run = e->run,
                           .context = j};
    return j->result != NULL && batches_run(&j->batches);
}

static bool write_result(edit_job *j)
{
    const edit_options *o = &j->o;
    ito_tensor *shown = j->picture != NULL ? j->picture : j->result;
    double columns = ceil(sqrt((double)o->n));
    if (o->npy != NULL && ito_npy_save(o->npy, j->result) != ITO_OK)
        return false;
    ito_tensor *grid = o->out != NULL ? ito_image_grid(shown, (int64_t)columns, 2) : NULL;
    return o->out == NULL || (grid != NULL && ito_png_save(o->out, grid) == ITO_OK);
}

static cJSON *describe(const edit_job *j)
{
    cJSON *root = cJSON_CreateObject();
    result_text(root, "weights", j->net.model->path);
    result_number(root, "step", (double)j->net.model->step);
    result_number(root, "images", (double)j->o.n);
    result_number(root, "steps", (double)j->o.steps);
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
        say_where(j.o.n, "image", "images", j.o.out);
    }
    int code =
        good ? results_print(e->name, describe(&j), started, j.o.json) : options_report(e->name);
    inference_close(&j.net);
    ito_scope_end();
    return code;
}
