/* A trained network ready to be evaluated. */
#include "examples/ddpm/inference.h"

#include "examples/common/messages.h"
#include "examples/common/results.h"
#include "examples/ddpm/class_names.h"

#include <inttypes.h>
#include <ito/ito.h>
#include <math.h>
#include <string.h>

bool variance_is_fixed(const ito_choice *choice)
{
    const ito_variance *variance = ito_variance_find(choice->name);
    return variance != NULL && !variance->learned;
}

/* A network whose labels were never dropped has not learned the label "no class", which guidance
 * needs. */
bool inference_set_class(inference *net, const char *word, const guidance_options *guidance)
{
    int64_t classes = net->model->settings.model.classes;
    bool none = word == NULL || (strcmp(word, "none") == 0 && classes > 0);
    bool all = !none && strcmp(word, "all") == 0 && classes > 0;
    bool alone = guidance == NULL || guidance->scale == 1.0 || !guidance_by_class(guidance);
    net->class = none ? CLASS_NONE : all ? CLASS_IN_TURN : model_class(net->model, word);
    if (!none && !all && net->class < 0)
        return false;
    if (classes == 0 || net->model->label_dropout > 0.0 || (!none && alone))
        return true;
    return options_error("--%s: the network was trained with --label-dropout 0 and knows no images "
                         "without a class",
                         none ? "class" : "guidance");
}

const char *inference_class(const inference *net)
{
    if (net->model->settings.model.classes == 0)
        return NULL;
    if (net->class < 0)
        return net->class == CLASS_IN_TURN ? "all" : "none";
    return class_name(net->class_names, net->class);
}

void inference_put_class(const inference *net, cJSON *root)
{
    result_text(root, "class", inference_class(net));
    if (net->class >= 0)
        result_number(root, "class_index", (double)net->class);
}

/* Say which class was meant by the word, and how to have one of the name "all" or "none". */
static void say_class(const inference *net, const char *word)
{
    if (net->class >= 0)
        class_say(net->class_names, net->class);
    else if (class_has_name(net->class_names, word))
        note("class: %s; the one of that name is --class name:%s\n",
             net->class == CLASS_NONE ? "none of them" : "each in turn", word);
}

ito_tensor *inference_data(const inference *net, data_options o, ito_tensor **labels)
{
    cJSON *names = NULL;
    *labels = NULL;
    if (net->class != CLASS_IN_TURN || !data_has_classes(o.spec))
        return data_load(o);
    ito_tensor *images = data_load_classes(o, labels, &names);
    bool same = images != NULL && cJSON_Compare(names, net->class_names, true);
    if (images != NULL && !same)
        ito_error_set(ITO_ERR_ARGUMENT,
                      "%s: its classes are not those that the network was trained with; name one "
                      "with --class, or none",
                      o.spec);
    cJSON_Delete(names);
    *labels = same ? ito_contiguous(ito_cast(*labels, ITO_I64)) : NULL;
    return *labels != NULL ? images : NULL;
}

/* Set the network's guidance: from images without a class, or from a worse network. */
static bool set_guidance(inference *net, const inference_options *o)
{
    const guidance_options *g = o->guidance;
    ito_guidance *guidance = net->model->guidance;
    guidance->sigma_lo = 0.0; /* the run's interval came by the options, if it is wanted */
    guidance->sigma_hi = (double)INFINITY;
    if (g == NULL)
        return true;
    if (g->perturbed)
        guidance->guide = &net->model->unet->perturbed;
    if (g->network != NULL) {
        net->guide = guide_load(g, strcmp(o->weights, "model") == 0, net->model);
        if (net->guide == NULL)
            return false;
        model_set_precision(net->guide->unet, o->precision, o->command);
        guidance->guide = &net->guide->unet->network;
    }
    guidance->scale = g->scale;
    guidance->rescale = g->rescale;
    return guidance_interval(g, &guidance->sigma_lo, &guidance->sigma_hi);
}

bool inference_open(inference *net, inference_options o)
{
    bool plain = strcmp(o.weights, "model") == 0;
    net->model = model_load(o.model, ITO_OPTIONS(ito_ddpm_load_options, .plain = plain));
    if (net->model == NULL || !model_set_variance(net->model, o.variance))
        return false;
    const char *given = o.class;
    net->diffusion = net->model->diffusion;
    net->class_names = model_class_names(net->model);
    if (o.class == NULL && net->model->settings.model.classes > 0)
        o.class = o.usual_class;
    if (!inference_set_class(net, o.class, o.guidance))
        return false;
    model_set_precision(net->model->unet, o.precision, o.command);
    if (!set_guidance(net, &o))
        return false;
    if (given != NULL)
        say_class(net, given);
    return true;
}

void inference_close(inference *net)
{
    ito_ddpm_free(net->model);
    ito_ddpm_free(net->guide);
    cJSON_Delete(net->class_names);
}

bool inference_steps(const inference *net, int64_t usual, int64_t *steps)
{
    int64_t most = net->diffusion->process->steps;
    if (most == 0) /* in continuous time */
        most = INT64_MAX;
    if (*steps == UNSET_INT)
        *steps = most < usual ? most : usual;
    if (*steps <= most)
        return true;
    return options_error("--steps: %" PRId64 " is more than the %" PRId64 " of the diffusion",
                         *steps, most);
}

ito_tensor *inference_images(const inference *net, int64_t n)
{
    return ito_empty(ito_ddpm_shape(net->model, n), ITO_F32);
}

ito_tensor *classes_in_turn(int64_t first, int64_t n, int64_t classes)
{
    ito_tensor *labels = ito_empty(ITO_SHAPE(n), ITO_I64);
    for (int64_t i = 0; labels != NULL && i < n; i++)
        ((int64_t *)ito_data(labels))[i] = (first + i) % classes;
    return labels;
}

/* The labels of images first .. first + n - 1. */
static ito_tensor *labels_of(const inference *net, int64_t first, int64_t n)
{
    if (net->class != CLASS_IN_TURN)
        return ito_full(ITO_SHAPE(n), (double)net->class, ITO_I64);
    return net->labels != NULL ? ito_narrow(net->labels, 0, first, n)
                               : classes_in_turn(first, n, net->model->settings.model.classes);
}

ito_network *inference_network_labelled(inference *net, ito_tensor *labels)
{
    if (net->model->condition != NULL)
        net->model->condition->labels = labels;
    return net->model->network;
}

ito_network *inference_network(inference *net, int64_t first, int64_t n)
{
    bool none = net->class == CLASS_NONE || net->model->condition == NULL;
    ito_tensor *labels = none ? NULL : labels_of(net, first, n);
    return none || labels != NULL ? inference_network_labelled(net, labels) : NULL;
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

bool inference_put(const inference *net, ito_tensor *all, int64_t at, ito_tensor *images,
                   int64_t first)
{
    return finite_images(images, net->model->path, first) &&
           ito_copy_(ito_narrow(all, 0, at, ito_size(images, 0)), images) != NULL;
}
