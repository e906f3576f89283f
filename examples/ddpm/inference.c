/* What the commands that use a trained network have in common. */
#include "examples/ddpm/inference.h"

#include "autograd/ops.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void refuse_lone_guidance(const command_line *c, const char *class)
{
    if (options_given(c, "guidance") && (class == NULL || strcmp(class, "none") == 0))
        options_refuse(c, "--guidance: it needs a --class to guide to");
}

void refuse_idle_options(const command_line *c, const char *sampler)
{
    static const struct {
        const char *option, *samplers;
    } uses[] = {{"eta", "ddim"},
                {"variance", "ddpm"},
                {"noise-at-last", "ddpm"},
                {"rederive-eps", "ddim|euler|euler-a|heun|lms|deis|deis3|pndm|plms"}};
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++)
        if (options_given(c, uses[i].option) && !options_has_word(uses[i].samplers, sampler))
            options_refuse(c, "--%s: the sampler %s does not look at it; it is for %s",
                           uses[i].option, sampler, uses[i].samplers);
}

/* A network whose labels were never dropped has not learned what "no class" is, and guidance asks
 * for that too. */
bool trained_set_class(trained *t, const char *word, double guidance)
{
    int64_t classes = t->files.settings.model.classes;
    bool none = word == NULL || (strcmp(word, "none") == 0 && classes > 0);
    bool all = !none && strcmp(word, "all") == 0 && classes > 0;
    t->guidance = guidance;
    t->class = none ? CLASS_NONE : all ? CLASS_IN_TURN : model_class(&t->files, word);
    if (!none && !all && t->class < 0)
        return false;
    if (classes == 0 || t->files.label_dropout > 0.0 || (!none && guidance == 1.0))
        return true;
    ito_error_set(ITO_ERR_ARGUMENT,
                  "--%s: the network was trained with --label-dropout 0 and knows no images "
                  "without a class",
                  none ? "class" : "guidance");
    return false;
}

const char *trained_class(const trained *t)
{
    if (t->files.settings.model.classes == 0)
        return NULL;
    if (t->class < 0)
        return t->class == CLASS_IN_TURN ? "all" : "none";
    return cJSON_GetArrayItem(t->files.class_names, (int)t->class)->valuestring;
}

ito_tensor *trained_data(const trained *t, data_options o, ito_tensor **labels)
{
    cJSON *names = NULL;
    *labels = NULL;
    if (t->class != CLASS_IN_TURN || !data_has_classes(o.spec))
        return data_load(o);
    ito_tensor *images = data_load_classes(o, labels, &names);
    bool same = images != NULL && cJSON_Compare(names, t->files.class_names, true);
    if (images != NULL && !same)
        ito_error_set(ITO_ERR_ARGUMENT,
                      "%s: its classes are not those that the network was trained with; name one "
                      "with --class, or none",
                      o.spec);
    cJSON_Delete(names);
    *labels = same ? ito_contiguous(ito_cast(*labels, ITO_I64)) : NULL;
    return *labels != NULL ? images : NULL;
}

bool trained_open(trained *t, trained_options o)
{
    if (!model_find(o.model, strcmp(o.weights, "model") == 0, &t->files) ||
        !model_set_variance(&t->files, o.variance))
        return false;
    if (o.class == NULL && t->files.settings.model.classes > 0)
        o.class = o.usual_class;
    if (!trained_set_class(t, o.class, o.guidance))
        return false;
    t->unet = model_load(&t->files);
    if (t->unet == NULL)
        return false;
    model_set_precision(t->unet, o.precision, o.command);
    t->diffusion = ito_diffusion_create_with(t->files.settings.diffusion);
    return t->diffusion != NULL;
}

void trained_close(trained *t)
{
    ito_diffusion_free(t->diffusion);
    if (t->unet != NULL)
        ito_module_free(&t->unet->base);
    model_files_free(&t->files);
}

bool trained_steps(const trained *t, int64_t usual, int64_t *steps)
{
    int64_t most = t->diffusion->schedule->steps;
    if (*steps == 0)
        *steps = most < usual ? most : usual;
    if (*steps <= most)
        return true;
    ito_error_set(ITO_ERR_RANGE,
                  "--steps: %" PRId64 " is more than the %" PRId64 " of the diffusion", *steps,
                  most);
    return false;
}

ito_ddpm_conditioned trained_network(const trained *t, int64_t first, int64_t n)
{
    int64_t classes = t->files.settings.model.classes;
    bool none = t->class == CLASS_NONE || t->guidance == 0.0;
    ito_tensor *labels = none ? NULL : ito_empty(ITO_SHAPE(n), ITO_I64);
    const int64_t *turn = t->labels != NULL ? ito_const_data(t->labels) : NULL;
    for (int64_t i = 0; labels != NULL && i < n; i++)
        ((int64_t *)ito_data(labels))[i] = t->class != CLASS_IN_TURN ? t->class
                                           : turn != NULL            ? turn[first + i]
                                                                     : (first + i) % classes;
    return (ito_ddpm_conditioned){.diffusion = t->diffusion,
                                  .network = ito_unet_conditional,
                                  .context = t->unet,
                                  .classes = classes,
                                  .labels = labels,
                                  .self_condition = t->files.settings.model.self_condition,
                                  .guidance = t->guidance};
}

bool batches_run(batches *b)
{
    bool good = true;
    progress_begin(&b->progress, b->what, "image steps", 0, 0);
    for (int64_t first = 0; good && first < b->n; first += b->size) {
        b->batch = b->n - first < b->size ? b->n - first : b->size;
        ito_scope_begin();
        good = b->run(first, b->batch, b->context);
        ito_scope_end();
    }
    progress_end(&b->progress);
    return good;
}

void batches_step(batches *b, int64_t steps)
{
    int64_t walks = (b->n + b->size - 1) / b->size * (b->walks != 0 ? b->walks : 1);
    b->progress.total = walks * steps;
    progress_step(&b->progress, ++b->done, b->batch, (double)NAN);
}

bool batches_progress(int64_t done, int64_t steps, ito_tensor *x, void *context)
{
    (void)done;
    (void)x;
    batches_step(context, steps);
    return true;
}

static bool finite_images(ito_tensor *images, const char *weights, int64_t first)
{
    ito_tensor *x = ito_contiguous(images);
    if (x == NULL)
        return false;
    const float *values = ito_const_data(x);
    int64_t n = ito_numel(x), image = n / ito_size(x, 0);
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            ito_error_set(ITO_ERR_NUMERIC,
                          "%s: image %" PRId64 " is not finite; nothing was written", weights,
                          first + i / image);
            return false;
        }
    }
    return true;
}

bool images_put(ito_tensor *all, int64_t at, ito_tensor *images, const char *weights, int64_t first)
{
    return finite_images(images, weights, first) &&
           ito_copy_(ito_narrow(all, 0, at, ito_size(images, 0)), images) != NULL;
}

void say_where(int64_t n, const char *one, const char *several, const char *path)
{
    if (path != NULL)
        fprintf(stderr, "%" PRId64 " %s in %s\n", n, n == 1 ? one : several, path);
}
