/* Class labels around a network.
 * Invariant: an example's output depends on its own label alone. */
#include "models/ddpm/network/condition.h"

#include "tensor/internal.h"

#include <stdlib.h>

static bool check_labels(const ito_class_condition *c, const ito_tensor *x)
{
    const ito_tensor *labels = c->labels;
    if (labels->dtype != ITO_I64 || labels->ndim != 1 || labels->shape[0] != x->shape[0]) {
        ito_error_set(ITO_ERR_SHAPE,
                      "class_condition: the labels are %s of %s; data %s need one i64 each",
                      tensor_shape_str(labels), ito_dtype_name(labels->dtype), tensor_shape_str(x));
        return false;
    }
    for (int64_t i = 0; i < labels->shape[0]; i++) {
        int64_t label = ((const int64_t *)tensor_data(labels))[i * labels->stride[0]];
        if (label >= 0 && label <= c->classes)
            continue;
        ito_error_set(ITO_ERR_RANGE,
                      "class_condition: the label of example %" PRId64 " is %" PRId64
                      "; there are 0 to %" PRId64 ", and %" PRId64 " for none",
                      i, label, c->classes - 1, c->classes);
        return false;
    }
    return true;
}

/* The labels for the network: some are dropped in training. */
static ito_tensor *labels_of(const ito_class_condition *c, int64_t n)
{
    ito_tensor *labels = ito_full(ITO_SHAPE(n), (double)c->classes, ITO_I64);
    for (int64_t i = 0; labels != NULL && i < n; i++) {
        bool dropped = c->generator != NULL && c->drop > 0.0 && ito_uniform(c->generator) < c->drop;
        if (!dropped)
            ((int64_t *)tensor_data(labels))[i] =
                ((const int64_t *)tensor_data(c->labels))[i * c->labels->stride[0]];
    }
    return labels;
}

static ito_tensor *evaluate(ito_network *self, const ito_network_input *in)
{
    ito_class_condition *c = (ito_class_condition *)self;
    ito_network_input given = *in;
    if (c->labels != NULL) {
        given.labels = check_labels(c, in->x) ? labels_of(c, in->x->shape[0]) : NULL;
        if (given.labels == NULL)
            return NULL;
    }
    return ito_network_evaluate(c->network, &given);
}

static void begin(ito_network *self)
{
    ito_network_begin(((ito_class_condition *)self)->network);
}

static void destroy(ito_network *self)
{
    free(self);
}

ito_class_condition *ito_class_condition_create(ito_network *network, int64_t classes)
{
    if (network == NULL)
        return error_null(ITO_ERR_ARGUMENT, "class_condition: the network is NULL");
    if (classes < 1)
        return error_null(ITO_ERR_RANGE,
                          "class_condition: %" PRId64 " classes; at least 1 is needed", classes);
    ito_class_condition *c = struct_alloc(sizeof *c);
    if (c != NULL)
        *c = (ito_class_condition){.base = {.evaluate = evaluate, .begin = begin, .free = destroy},
                                   .network = network,
                                   .classes = classes};
    return c;
}
